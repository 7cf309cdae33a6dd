// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"testing"
)

// through is a configuration with a check via the data path, on line 2, which
// the pool "four" uses, on line 3.
func through(check, services string) string {
	return director + "checks: [{name: c, via: dataplane, " + check + "}]\n" +
		"pools: [{name: four, servers: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}], checks: [c]}, {name: other, servers: [{name: a, address: 10.0.0.3}, {name: b, address: '2001:db8::1'}]}]\n" +
		"services: [" + services + "]\n"
}

func TestMistakesOfChecksViaDataplane(t *testing.T) {
	const s = "{name: s, addresses: [192.0.2.1], ports: [80], pool: four}"
	const o = "{name: o, addresses: [192.0.2.2], ports: [80], pool: other}"
	const line = "maitred.yaml:2: checks[0]."
	testMistakes(t, map[string]mistake{
		"way":               {minimal + "checks: [{name: c, tcp: {}, via: dataplan}]\n", []string{`maitred.yaml:4: checks[0].via: "dataplan" is not a way to a server (did you mean dataplane?)`}},
		"direct":            {minimal + "checks: [{name: c, tcp: {}, service: shop}]\n", []string{"maitred.yaml:4: checks[0].service: is for via: dataplane"}},
		"port":              {through("tcp: {port: 80}", s), []string{line + "tcp.port: is not for a check via the data path, which asks the first port of its service: leave it out"}},
		"no service":        {through("tcp: {}", o), []string{line + "service: is missing: no service uses a pool with this check, and via the data path it asks a service"}},
		"two services":      {through("tcp: {}", s+", {name: t, addresses: [192.0.2.3], ports: [80], pool: four}"), []string{line + "service: is missing: services s, t use pools with this check, name the one to ask"}},
		"unknown service":   {through("tcp: {}, service: shop", s), []string{line + `service: there is no service "shop"`}},
		"another's pool":    {through("tcp: {}, service: o", s+", "+o), []string{line + `service: pool "other" of service "o" does not use this check`}},
		"udp":               {through("tcp: {}", "{name: s, addresses: [192.0.2.1], ports: [53], pool: four, protocol: udp}"), []string{line + `service: service "s" is udp, and tcp asks by tcp`}},
		"of another family": {director + "checks: [{name: c, via: dataplane, tcp: {}}]\npools: [{name: p, servers: [{name: a, address: 10.0.0.1}, {name: b, address: '2001:db8::1'}], checks: [c]}]\nservices: [{name: s, addresses: [192.0.2.1], ports: [80], pool: p}]\n", []string{line + `service: server "b" of pool "p" serves no address of service "s", and cannot be asked by it: give its pool another check`}},
		"no forwarding":     {"director: {interfaces: [a], forwarding: none}\n" + through("tcp: {}", s)[len(director):], []string{line + "via: there is no data path to ask by where others forward: use direct"}},
	})
}

// Each server is asked at the address that it serves.
func TestAsked(t *testing.T) {
	const check = director + "checks: [{name: c, via: dataplane, tcp: {}}]\npools: [{name: p, servers: [{name: a, address: 10.0.0.1}%s], checks: [c]}]\n" +
		"services: [{name: s, addresses: ['2001:db8::9', 192.0.2.1, 192.0.2.2], ports: [443, 80], pool: p, method: tun}]\n"
	for name, test := range map[string]struct {
		more string
		want map[string]string
	}{
		"by its family":       {", {name: b, address: '2001:db8::1'}", map[string]string{"a": "s/ipv4 192.0.2.1:443", "b": "s/ipv6 [2001:db8::9]:443"}},
		"across, by tunnel":   {"", map[string]string{"a": "s/ipv4 192.0.2.1:443"}},
		"several of a family": {", {name: b, address: 10.0.0.2}", map[string]string{"a": "s/ipv4 192.0.2.1:443", "b": "s/ipv4 192.0.2.1:443"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, fmt.Sprintf(check, test.more))
			k, _ := cfg.Check("c")
			for _, server := range cfg.Pools[0].Servers {
				service, target, ok := cfg.Asked(k, cfg.Pools[0], server)
				if got := service.Name + " " + target.String(); !ok || got != test.want[server.Name] {
					t.Errorf("%s is asked at %s, %v, want %s", server.Name, got, ok, test.want[server.Name])
				}
			}
		})
	}
}

// Across the families goes a tunnel, and only where the pool has no server of the
// address's own.
func TestServing(t *testing.T) {
	const service = "name: s, addresses: [192.0.2.1], ports: [80]"
	for name, test := range map[string]struct {
		keys string
		want []string
	}{
		"its own":         {"pool: four", []string{"a", "b"}},
		"its own of both": {"pool: both", []string{"a"}},
		"and by tunnel":   {"pool: both, method: tun", []string{"a"}},
		"across":          {"pool: six, method: tun", []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, director+pools+"services: [{"+service+", "+test.keys+"}]\n")
			p, _ := cfg.Pool(cfg.Services[0].Pool)
			serving := p.Serving(cfg.Services[0])
			if len(serving) != len(test.want) {
				t.Errorf("%v serve, want %v", serving, test.want)
			}
			for i, server := range serving {
				if server.Name != test.want[i] || !p.serves(cfg.Services[0], server) {
					t.Errorf("%v serve, want %v", serving, test.want)
				}
			}
		})
	}
}

// Another service to ask is another check.
func TestFingerprintOfDataplane(t *testing.T) {
	const two = "{name: s, addresses: [192.0.2.1], ports: [80], pool: four}, {name: t, addresses: [192.0.2.3], ports: [80], pool: four}"
	seen := map[string]bool{}
	for _, check := range []string{"tcp: {}, service: s", "tcp: {}, service: t"} {
		c, _ := mustParse(t, through(check, two)).Check("c")
		seen[c.Fingerprint] = true
	}
	c, _ := mustParse(t, minimal+"checks: [{name: c, tcp: {}}]\n").Check("c")
	if seen[c.Fingerprint] = true; len(seen) != 3 {
		t.Errorf("%d fingerprints of three checks", len(seen))
	}
}
