// SPDX-License-Identifier: Apache-2.0

package config

import (
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane/page"
)

// Parts of a configuration, a line each, that make a whole one together.
const (
	director = "director: {interfaces: [eth0]}\n"
	pool     = "pools: [{name: app, servers: [{name: a, address: 10.0.0.1}]}]\n"
	service  = "services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: app}]\n"
	minimal  = director + pool + service
)

// fake is a loader over files and an environment that a test makes up.
func fake(files, env map[string]string) loader {
	return loader{
		env:      func(name string) (string, bool) { value, ok := env[name]; return value, ok },
		hostname: func() (string, error) { return "lb1", nil },
		now:      func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		read: func(path string, limit int) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(text[:min(len(text), limit+1)]), nil
		},
		glob: func(pattern string) ([]string, error) {
			var found []string
			for name := range files {
				ok, err := filepath.Match(pattern, name)
				if err != nil {
					return nil, err
				}
				if ok {
					found = append(found, name)
				}
			}
			slices.Sort(found)
			return found, nil
		},
		types:  kind.NewTable(kind.Env{}).Names(),
		lookup: kind.NewTable(kind.Env{}).Lookup,
	}
}

// parse loads a configuration of one file.
func parse(text string) (*Config, error) {
	return fake(map[string]string{"maitred.yaml": text}, nil).load([]string{"maitred.yaml"})
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := parse(text)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	checkInvariants(t, cfg)
	return cfg
}

// checkInvariants asserts what every configuration that was loaded promises.
func checkInvariants(t *testing.T, cfg *Config) {
	t.Helper()
	if cfg.Director.Name == "" || len(cfg.Director.Interfaces) == 0 || cfg.Director.Resync <= 0 || cfg.Admin.Socket == "" {
		t.Errorf("director %+v, admin %+v", cfg.Director, cfg.Admin)
	}
	for _, c := range cfg.Checks {
		if c.Name == "" || c.Checker == nil || c.Fingerprint == "" || c.Timing.Budget() <= 0 || c.Timing.Timeout > c.Timing.Interval {
			t.Errorf("check %+v", c)
		}
	}
	for _, p := range cfg.Pages {
		if p.Image.Digest == 0 || p.Image.Head > page.MaxHead || len(p.Image.Response) > page.MaxLength {
			t.Errorf("page %q: head %d, length %d, digest %x", p.Name, p.Image.Head, len(p.Image.Response), p.Image.Digest)
		}
	}
	for _, p := range cfg.Pools {
		checkPool(t, cfg, p)
	}
	seen := map[Virtual]bool{}
	if c := cfg.Director.Connections; c.Memory < leastMemory || c.TCP < time.Second || c.FIN < time.Second || c.UDP < time.Second {
		t.Errorf("connections %+v", c)
	}
	if errs := cfg.Refuse(cfg.Director.Forwarding); errs != nil {
		t.Errorf("%s refuses %v", cfg.Director.Forwarding, errs)
	}
	for _, s := range cfg.Services {
		pool, ok := cfg.Pool(s.Pool)
		if !ok || s.Name == "" || len(s.Virtuals()) == 0 {
			t.Errorf("service %+v", s)
		}
		if len(pool.Serving(s)) == 0 || s.Hash == "" || s.OnDown == "" || (s.Method == TUN) != (s.Tunnel.Kind != "") || (s.Tunnel.Kind == TunnelGUE) != (s.Tunnel.Port != 0) {
			t.Errorf("service %+v", s)
		}
		if most := s.Quorum.Min + s.Quorum.Hysteresis; !s.Quorum.Percent && most > len(pool.Servers) || s.Quorum.Min <= s.Quorum.Hysteresis {
			t.Errorf("service %q: quorum %+v of %d servers", s.Name, s.Quorum, len(pool.Servers))
		}
		if p, ok := cfg.Page(s.Sorry.Page); !ok && s.Sorry.Page != "" || ok && !p.Suits(s.Protocol) {
			t.Errorf("service %q: sorry %+v", s.Name, s.Sorry)
		}
		for _, v := range s.Virtuals() {
			if seen[v] || !v.Addr.IsValid() || v.Addr.Port() == 0 {
				t.Errorf("service %q: virtual %v", s.Name, v)
			}
			seen[v] = true
		}
	}
}

func checkPool(t *testing.T, cfg *Config, p Pool) {
	t.Helper()
	for _, s := range p.Servers {
		if s.Local {
			if s != (Server{Name: "local", Weight: 1, Local: true}) || len(p.Servers) != 1 || !slices.Equal(p.Checks, []string{SorryCheck}) {
				t.Errorf("pool %+v", p)
			}
			continue
		}
		if s.Name == "" || !s.Address.IsValid() || s.Weight < 1 || s.Weight > 65535 {
			t.Errorf("pool %q: server %+v", p.Name, s)
		}
		for _, name := range p.Checks {
			c, ok := cfg.Check(name)
			target := c.Target(s)
			if c.Via == ViaDataplane {
				_, target, ok = cfg.Asked(c, p, s)
			}
			if !ok || target.Port() == 0 && !c.PortOptional || target.Port() != 0 && c.Portless {
				t.Errorf("pool %q: check %q has no target on %+v", p.Name, name, s)
			}
		}
	}
}
