// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

func TestTableSizes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		by      config.Forwarding
		sources int
		want    maps.Options
	}{
		{"eBPF", config.ForwardingEBPF, 0, maps.Options{Forwarding: true, Flows: 1 << 19}},
		{"with full NAT", config.ForwardingEBPF, 1, maps.Options{Forwarding: true, Flows: 1 << 18, FullNAT: true}},
		{"IPVS", config.ForwardingIPVS, 1, maps.Options{}},
		{"nobody", config.ForwardingNone, 1, maps.Options{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := shop("/nowhere")
			cfg.Director.Connections.Memory = 64 << 20
			cfg.Director.FullNAT.Sources = make([]netip.Addr, tc.sources)
			if got := tableSizes(cfg, tc.by); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestNotForwarding(t *testing.T) {
	six := netip.MustParseAddr("fd00::11")
	for _, tc := range []struct {
		name    string
		servers []netip.Addr // besides those of shop
		four    string
		want    []string
	}{
		{"off", nil, "0\n", []string{"net.ipv4.ip_forward"}},
		{"on", nil, "1\n", nil},
		{"off for both", []netip.Addr{six}, "0\n", []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := shop("/nowhere")
			if tc.servers != nil {
				cfg.Services = append(cfg.Services, cfg.Services[0])
				cfg.Services[1].Addresses = []netip.Addr{netip.MustParseAddr("2001:db8::10")}
			}
			for _, a := range tc.servers {
				cfg.Pools[0].Servers = append(cfg.Pools[0].Servers, config.Server{Name: a.String(), Address: a, Weight: 1})
			}
			got := notForwarding(cfg, func(name string) ([]byte, error) {
				switch name {
				case "/proc/sys/net/ipv4/ip_forward":
					return []byte(tc.four), nil
				case "/proc/sys/net/ipv6/conf/all/forwarding":
					return []byte("0\n"), nil
				}
				return nil, fs.ErrNotExist
			})
			if !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestHeldModesByProtocol(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.10:53")
	held := heldModes(map[maps.Key]maps.Service{
		{Addr: at, Proto: 6}: {Mode: maps.ModeShed}, {Addr: at, Proto: 17}: {Mode: maps.ModeSorry},
	})
	for v, want := range map[config.Virtual]state.Mode{
		{Addr: at, Proto: config.TCP}: state.ModeShed, {Addr: at, Proto: config.UDP}: state.ModeSorry,
	} {
		if got, ok := held[v]; !ok || got != want {
			t.Errorf("%v is held as %v", v, got)
		}
	}
}

// TestWireEBPF opens the parts on the real kernel: their tables, and what keeps them
// in order. A configuration that the engine can't carry out is refused.
func TestWireEBPF(t *testing.T) {
	kernel.RequireBPF(t)
	folder := t.TempDir()
	cfg := shop(filepath.Join(folder, "m.sock"))
	cfg.Services[0].Scheduler = ""
	cfg.Director.Forwarding = config.ForwardingEBPF
	cfg.Director.PinPath = fmt.Sprintf("/sys/fs/bpf/maitred-wire-%d", os.Getpid())
	cfg.Director.Connections = config.Connections{Memory: 1 << 20, TCP: time.Minute, FIN: time.Minute, UDP: time.Minute}
	in := Inputs{Logger: slog.New(slog.DiscardHandler)}
	p, err := Wire(cfg, in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := p.Withdraw(); err != nil {
			t.Error(err)
		}
	})
	if by, note := p.Engine.Forwarding(config.ForwardingEBPF); by != "ebpf" || note == "" {
		t.Errorf("forwarded by %s (%s)", by, note)
	}
	if p.Traffic == nil || len(p.Tasks) != 4 {
		t.Errorf("traffic %v, tasks %v", p.Traffic, p.Tasks)
	}
	var names []string
	for _, target := range p.Engine.Targets() {
		names = append(names, target.Name)
	}
	if !slices.Contains(names, "ebpf") || slices.Contains(names, "ipvs") {
		t.Errorf("targets %v", names)
	}
	next := *cfg
	next.Services = slices.Clone(cfg.Services)
	next.Services[0].Scheduler = "wlc"
	if errs := p.Engine.Refuse(&next); len(errs) != 1 {
		t.Errorf("wlc is refused with %v", errs)
	}
	if _, err := Wire(&next, in); err == nil {
		t.Error("a start with wlc succeeds")
	}
}

// TestProbeOfBeforeGoes starts without eBPF, or without checks via the data path,
// where a process before it has left the program for them.
func TestProbeOfBeforeGoes(t *testing.T) {
	kernel.RequireBPF(t)
	for _, by := range []config.Forwarding{config.ForwardingNone, config.ForwardingEBPF} {
		t.Run(string(by), func(t *testing.T) {
			ns := netlab.Make(t, "director")
			cfg := shop(filepath.Join(t.TempDir(), "m.sock"))
			cfg.Services[0].Scheduler = ""
			cfg.Director.Forwarding = by
			cfg.Director.PinPath = "/sys/fs/bpf/maitred-probe-" + ns.Name()
			cfg.Director.Connections = config.Connections{Memory: 1 << 20, TCP: time.Minute, FIN: time.Minute, UDP: time.Minute}
			probes := func() (names []string) {
				t.Helper()
				entries, err := os.ReadDir(filepath.Join(cfg.Director.PinPath, "links"))
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if strings.HasPrefix(e.Name(), "probe") {
						names = append(names, e.Name())
					}
				}
				return names
			}
			err := ns.Do(func() error {
				before, err := maps.Open(cfg.Director.PinPath, maps.Options{Forwarding: true})
				if err != nil {
					return err
				}
				if err := errors.Join(before.AttachProbe(), before.Close()); err != nil {
					return err
				}
				if len(probes()) == 0 {
					t.Error("no program to leave")
				}
				p, err := Wire(cfg, Inputs{Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					return err
				}
				if left := probes(); len(left) > 0 {
					t.Errorf("still attached: %v", left)
				}
				return errors.Join(p.Withdraw(), p.Close())
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
