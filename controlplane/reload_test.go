// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/config"
)

func TestReloadTakesAGoodConfiguration(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	r.inputs.Probed(up(serverA))
	r.expect("READY=1", 1)
	next := shop(r.socket)
	next.Services = append(next.Services, next.Services[0])
	next.Services[1].Name, next.Services[1].Ports = "admin", []uint16{8080}
	r.set(next, nil)
	got, err := r.client.Reload(t.Context())
	if err != nil || !got.OK {
		t.Fatalf("reload: %+v, %v", got, err)
	}
	r.expect("RELOADING=1", 1)
	r.expect("READY=1", 2)
	st := r.status()
	if len(st.Services) != 2 || st.Services[0].Mode != "serve" || st.Services[1].Mode != "serve" {
		t.Errorf("services %+v: want both to serve, for the probe is known", st.Services)
	}
	if len(st.Probes) != 2 {
		t.Errorf("%d probes, want 2: services share them", len(st.Probes))
	}
	if st.Config.Reload == nil || !st.Config.Reload.OK || !st.Config.Loaded.Equal(st.Config.Reload.At) {
		t.Errorf("config status %+v", st.Config)
	}
}

func TestReloadRefusesABadConfiguration(t *testing.T) {
	bad := errors.Join(errors.New("a.yaml:3: services[0].scheduler: no such scheduler"), errors.New("a.yaml:9: pools[0]: no servers"))
	restart := func(r *rig) *config.Config {
		c := shop(r.socket)
		c.Director.PinPath, c.Admin.Socket = "/elsewhere", "/elsewhere.sock"
		return c
	}
	engine := func(r *rig) *config.Config {
		c := shop(r.socket)
		c.Director.Connections.Memory = 2 << 20
		c.Director.FullNAT.Sources = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
		return c
	}
	for _, tc := range []struct {
		name string
		set  func(*rig)
		want []string
	}{
		{"needs other tables", func(r *rig) { r.set(engine(r), nil) }, []string{
			"director.connections.memory: changed from 0GiB to 2MiB, which takes effect at a start only: restart the daemon, or put back the former",
			"director.fullnat.addresses: changed from none to some, which takes effect at a start only: restart the daemon, or put back the former"}},
		{"beyond the engine", func(r *rig) {
			r.engine.by = config.ForwardingEBPF
			r.set(shop(r.socket), nil)
		}, []string{"services[0].scheduler: wlc needs live connection counts, which IPVS has and the eBPF engine has not: use wrr, rr, mh or sh"}},
		{"mistakes", func(r *rig) { r.set(nil, bad) }, []string{
			"a.yaml:3: services[0].scheduler: no such scheduler", "a.yaml:9: pools[0]: no servers"}},
		{"unreadable", func(r *rig) { r.set(nil, errInjected) }, []string{"injected fault"}},
		{"needs a restart", func(r *rig) { r.set(restart(r), nil) }, []string{
			"director.pin_path: changed from  to /elsewhere, which takes effect at a start only: restart the daemon, or put back the former",
			"admin.socket: changed from SOCKET to /elsewhere.sock, which takes effect at a start only: restart the daemon, or put back the former"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.start()
			before := r.status()
			tc.set(r)
			got, err := r.client.Reload(t.Context())
			if err != nil || got.OK {
				t.Fatalf("reload: %+v, %v", got, err)
			}
			for i, line := range tc.want {
				tc.want[i] = strings.ReplaceAll(line, "SOCKET", r.socket)
			}
			if d := cmp.Diff(tc.want, got.Errors); d != "" {
				t.Errorf("errors (-want +got):\n%s", d)
			}
			after := r.status()
			if after.Config.Reload == nil || after.Config.Reload.OK {
				t.Errorf("last reload %+v", after.Config.Reload)
			}
			before.Config.Reload, after.Config.Reload = nil, nil
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("the refused configuration left a trace (-before +after):\n%s", d)
			}
		})
	}
}

func TestHangupReloads(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	r.set(nil, errInjected)
	r.hangups <- syscall.SIGHUP
	r.hangups <- syscall.SIGHUP // taken only when the first is done
	if st := r.status(); st.Config.Reload == nil || st.Config.Reload.OK {
		t.Errorf("last reload %+v, want one that was refused", st.Config.Reload)
	}
}

// TestWhatNeedsARestartHasItsPlace loads from files: whoever reads the refusal
// wants the line.
func TestWhatNeedsARestartHasItsPlace(t *testing.T) {
	const rest = `
pools: [{name: app, servers: [{address: 10.0.0.1}]}]
services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: app}]
`
	load := func(text string) *config.Config {
		path := filepath.Join(t.TempDir(), "m.yaml")
		if err := os.WriteFile(path, []byte(text+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	t.Setenv("PINS", "/sys/fs/bpf/s3cret")
	const remedy = ", which takes effect at a start only: restart the daemon, or put back the former"
	old := load("director:\n  name: lb1\n  interfaces: [eth0]\n  resync_interval: 10s\n  pin_path: ${PINS}\n")
	for _, tc := range []struct {
		name, text string
		want       []string // without the file
	}{
		{"nothing", "director:\n  name: lb1\n  interfaces: [eth1]\n  resync_interval: 10s\n  pin_path: ${PINS}\n", nil},
		{"two keys", "director:\n  name: lb2\n  interfaces: [eth0]\n  resync_interval: 20s\n  pin_path: ${PINS}\n", []string{
			":2: director.name: changed from lb1 to lb2" + remedy,
			":4: director.resync_interval: changed from 10s to 20s" + remedy,
		}},
		{"a key that is gone", "director:\n  name: lb1\n  interfaces: [eth0]\n  pin_path: ${PINS}\n", []string{
			":1: director.resync_interval: changed from 10s to 30s" + remedy,
		}},
		{"from the environment", "director:\n  name: lb1\n  interfaces: [eth0]\n  resync_interval: 10s\n  pin_path: ${PINS}/x\n", []string{
			":5: director.pin_path: changed from ${PINS} to ${PINS}/x" + remedy,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			if err := fixed(old, load(tc.text)); err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					_, line, _ = strings.Cut(line, "m.yaml")
					got = append(got, line)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("errors (-want +got):\n%s", d)
			}
		})
	}
}
