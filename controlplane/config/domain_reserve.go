// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// TLS is what the sorry server of this machine speaks TLS with. The zero value:
// the service has no such server.
type TLS struct {
	Certificates string // PEM, that of the server first
	Key          PrivateKey
	Expires      time.Time
}

// PrivateKey is a key in PEM, that no log and no status may show.
type PrivateKey string

// String hides it.
func (s PrivateKey) String() string {
	if s == "" {
		return ""
	}
	return "..."
}

// GoString hides it, too.
func (s PrivateKey) GoString() string { return s.String() }

// MarshalText hides it from JSON.
func (s PrivateKey) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ByPool lists the service as each of its pools serves it: first its own, then
// that in reserve, where it has one.
func (s Service) ByPool() []Service {
	if s.Sorry.Pool == "" {
		return []Service{s}
	}
	reserve := s
	reserve.Pool = s.Sorry.Pool
	return []Service{s, reserve}
}

// Local tells whether this machine serves the service in an outage.
func (s Service) Local() bool { return s.Sorry.TLS.Key != "" }

// SorrySocket is where the sorry server of this machine tells that it serves: a
// socket beside the daemon's.
func (a Admin) SorrySocket() string {
	return strings.TrimSuffix(a.Socket, filepath.Ext(a.Socket)) + "-sorry.sock"
}

// SorryCheck is the name and the type of the check that the sorry server of this
// machine has to pass. It is there where one is.
const SorryCheck = "sorry-server"

// sorryTiming finds out at once that it is gone: asking costs nothing.
const sorryTiming = 500 * time.Millisecond

// Reached are the servers that packets of a service are sent to, now or in an
// outage; this machine is not one.
func (c *Config) Reached(s Service) []Server {
	var all []Server
	for _, s := range s.ByPool() {
		pool, _ := c.Pool(s.Pool)
		for _, server := range pool.Serving(s) {
			if !server.Local && !slices.Contains(all, server) {
				all = append(all, server)
			}
		}
	}
	return all
}
