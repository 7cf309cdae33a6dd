// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
)

// dataplane finds out which service each check via the data path asks.
func (b builder) dataplane(cfg *Config) {
	for i := range cfg.Checks {
		check := &cfg.Checks[i]
		if check.Via != ViaDataplane || check.Name == "" {
			continue
		}
		path := at("checks", i)
		if check.Service == "" {
			check.Service = b.onlyService(path, *check, cfg)
		}
		if check.Service != "" && b.ok(path) {
			b.askable(path+".service", *check, cfg)
		}
	}
}

// onlyService is the one that uses a pool with the check.
func (b builder) onlyService(path string, check Check, cfg *Config) string {
	var names []string
	for _, s := range cfg.Services {
		pool, _ := cfg.Pool(s.Pool)
		if slices.Contains(pool.Checks, check.Name) && !slices.Contains(names, s.Given()) {
			names = append(names, s.Given())
		}
	}
	switch len(names) {
	case 0:
		b.missing(path+".service", "no service uses a pool with this check, and via the data path it asks a service")
	case 1:
		return names[0]
	default:
		b.missing(path+".service", "services "+strings.Join(names, ", ")+" use pools with this check, name the one to ask")
	}
	return ""
}

// askable reports a service that the check cannot ask, and servers that it could
// not be brought to.
func (b builder) askable(path string, check Check, cfg *Config) {
	var names []string
	var service Service
	for _, s := range cfg.Services {
		names = append(names, s.Given())
		if s.Given() == check.Service {
			service = s
		}
	}
	if !b.reference(path, "service", check.Service, names) {
		return
	}
	if service.Protocol == UDP {
		b.add(path, "service %q is udp, and %s asks by tcp", check.Service, check.Type)
	}
	if pool, ok := cfg.Pool(service.Pool); ok && !slices.Contains(pool.Checks, check.Name) {
		b.add(path, "pool %q of service %q does not use this check", pool.Name, check.Service)
	}
	for _, pool := range cfg.Pools {
		if !slices.Contains(pool.Checks, check.Name) {
			continue
		}
		for _, server := range pool.Servers {
			if server.Host != (Host{}) {
				continue // only addresses that the service serves are taken
			}
			if _, _, ok := cfg.Asked(check, pool, server); !ok {
				b.add(path, "server %q of pool %q serves no address of service %q, and cannot be asked by it: give its pool another check",
					server.Name, pool.Name, check.Service)
			}
		}
	}
}
