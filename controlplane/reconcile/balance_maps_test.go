// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	kernel "github.com/maitred-lb/maitred/maps"
	requires "github.com/maitred-lb/maitred/test/kernel"
)

// openMaps has the real tables in a folder of the test's own.
func openMaps(t *testing.T) *kernel.Maps {
	t.Helper()
	requires.RequireBPF(t)
	path := filepath.Join("/sys/fs/bpf", fmt.Sprintf("maitred-balance-%d", os.Getpid()))
	m, err := kernel.Open(path, kernel.Options{Forwarding: true, Flows: 1 << 14, FullNAT: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Withdraw(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// tables is all that can be read of the eBPF engine's tables.
func tables(t *testing.T, b reconcile.Balancer) string {
	t.Helper()
	servers, err1 := b.Servers()
	shares, err2 := b.Forwards()
	backs, err3 := b.Backs()
	marks, err4 := b.Marks()
	devices, err5 := b.Devices()
	setting, err6 := b.Forwarding()
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	for key, services := range backs {
		if len(services) == 0 {
			backs[key] = nil
		}
	}
	if len(setting.Sources) == 0 {
		setting.Sources = nil
	}
	return fmt.Sprintf("servers %+v\nforwards %+v\nbacks %v\nmarks %v\ndevices %v\nsetting %+v", servers, shares, backs, marks, devices, setting)
}

// unprobed leaves the program of checks aside: it belongs on the loopback interface
// of a director.
type unprobed struct {
	*kernel.Maps
	there bool
}

func (u *unprobed) ProbeAttached() (bool, error) { return u.there, nil }
func (u *unprobed) AttachProbe() error           { u.there = true; return nil }
func (u *unprobed) DetachProbe() error           { u.there = false; return nil }

// TestBalanceStory has the kernel's tables and those in memory go through the same
// stories: they hold the same at the end of each scene, and nothing after all.
func TestBalanceStory(t *testing.T) {
	for name, scenes := range map[string][]scene{
		"nat": storyOf(config.ForwardingEBPF, config.NAT), "fullnat": storyOf(config.ForwardingEBPF, config.FULLNAT),
		"tun": storyOf(config.ForwardingEBPF, config.TUN), "dr": storyOf(config.ForwardingEBPF, config.DR),
		"nat, others in reserve": storyOf(config.ForwardingEBPF, config.NAT, inReserve),
		"dr, others in reserve":  storyOf(config.ForwardingEBPF, config.DR, inReserve),
	} {
		t.Run(name, func(t *testing.T) {
			k, m := fake.New(), openMaps(t)
			var engines []*reconcile.Engine
			for _, targets := range [][]reconcile.Target{
				{reconcile.NewSorry(k, k), reconcile.NewBalance(k)},
				{reconcile.NewSorry(m, m), reconcile.NewBalance(&unprobed{Maps: m})},
			} {
				engines = append(engines, reconcile.New(reconcile.Options{
					Targets: targets, Logger: quiet(),
					OnRepair: func(d reconcile.Drift) { t.Errorf("repair %s", d.What) },
				}))
			}
			for _, s := range scenes {
				for _, e := range engines {
					e.Update(s.want)
					for range 2 { // the second finds all as it should be
						if err := e.Sync(t.Context()); err != nil {
							t.Fatalf("%s: %v", s.name, err)
						}
					}
				}
				if got, want := tables(t, m), tables(t, k); got != want {
					t.Errorf("%s: the kernel has\n%s\ninstead of\n%s", s.name, got, want)
				}
			}
			if err := engines[1].Withdraw(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left, err := reconcile.NewBalance(m).Holds(context.Background()); err != nil || left {
				t.Errorf("after all it holds something: %t, %v\n%s", left, err, tables(t, m))
			}
		})
	}
}

// TestRingsYield has a decision come while the rings of many services are being
// made: those that are left are left to the next pass, which knows of it.
func TestRingsYield(t *testing.T) {
	k := fake.New()
	e := reconcile.New(reconcile.Options{Targets: []reconcile.Target{reconcile.NewSorry(k, k), reconcile.NewBalance(k)}, Logger: quiet()})
	many := func(c *config.Config, _ *reconcile.Env) {
		forwardBy(config.NAT, c)
		c.Services = c.Services[:1]
		for port := range uint16(14) {
			c.Services[0].Ports = append(c.Services[0].Ports, 1000+port)
		}
		c.Pools[0].Servers = append(c.Pools[0].Servers[:2], server("d", "10.0.0.14", 8080, 1))
	}
	d := "10.0.0.14:8080"
	e.Update(deriveEBPF(many, result(a, up), result(b, up), result(d, up)))
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	rings := 0
	k.Changed = func(call string) {
		if len(call) > 11 && call[:11] == "put forward" {
			if rings++; rings == 1 {
				time.Sleep(150 * time.Millisecond) // one that takes very long
				e.Update(deriveEBPF(many, result(a, up), result(b, hard), result(d, hard)))
			}
		}
	}
	e.Update(deriveEBPF(many, result(a, up), result(b, hard), result(d, up)))
	if err := e.Sync(t.Context()); err == nil {
		t.Error("a pass that left rings to the next one says that all is well")
	}
	if rings != 1 {
		t.Errorf("%d rings were made while something newer was wanted, want 1", rings)
	}
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rings < 17 {
		t.Errorf("%d rings were made in all, want those that were left too", rings)
	}
}
