// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// metering is a meter over fakes, and a decider that hears of its loads.
type metering struct {
	*meter
	decider *decider
	load    Load
	err     error
	syn     map[config.Virtual]SYNs
	heard   []state.Measured
	now     time.Time
	updates int
}

func newMetering(cfg *config.Config) *metering {
	m := &metering{decider: newDecider(api.NewEvents(), slog.New(slog.DiscardHandler)), now: time.Unix(1000, 0)}
	m.load = Load{OpenOf: map[config.Virtual]int{}, Opened: map[config.Virtual]uint64{}}
	m.syn = map[config.Virtual]SYNs{}
	m.decider.setProbes, m.decider.update = func([]checkers.Probe) {}, func(state.State) { m.updates++ }
	m.meter = newMeter(Parts{
		Traffic: &fakeTraffic{}, Datapath: &fakeDatapath{journal: newJournal()},
	}, m.decider, slog.New(slog.DiscardHandler))
	m.traffic = func(*config.Config) (Load, error) { return m.load, m.err }
	m.syns = func([]config.Virtual) (map[config.Virtual]SYNs, error) { return m.syn, nil }
	m.post = func(e state.Event) {
		m.heard = append(m.heard, e.(state.Measured))
		m.decider.applyAll([]letter{{events: []state.Event{e}}})
	}
	m.decider.applyAll([]letter{{events: []state.Event{state.Loaded{Config: cfg}, state.Probed{Transition: up(serverA)}}}})
	return m
}

// second passes, and is measured.
func (m *metering) second(t *testing.T) {
	t.Helper()
	m.now = m.now.Add(time.Second)
	if err := m.measure(m.now); err != nil {
		t.Fatal(err)
	}
}

func (m *metering) mode() state.Mode { return m.decider.snapshot.Load().Services["shop"].Mode }

// limited is shop with limits.
func limited() *config.Config {
	cfg := shop("/nowhere")
	cfg.Services[0].Shed = config.Shed{Connections: 100, NewPerSecond: 50, Overloaded: true, Fraction: 0.3, Page: "closed"}
	cfg.Pools[0].Servers[0].UpperThreshold, cfg.Pools[0].Servers[1].UpperThreshold = 10, 10
	return cfg
}

func TestMeterTellsOfConnectionsAndRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetering(limited())
		v := m.decider.snapshot.Load().Config.Services[0].Virtuals()[0]
		m.load.OpenOf[v], m.load.Opened[v], m.syn[v] = 99, 1000, SYNs{Opened: 7}
		m.second(t)
		if len(m.heard) != 0 {
			t.Fatalf("a first reading has no rate, told %v", m.heard)
		}
		m.load.Opened[v], m.syn[v] = 1020, SYNs{Opened: 17, TurnedAway: 5}
		m.second(t)
		want := []state.Measured{{Loads: map[string]state.Load{"shop": {Connections: 99, NewPerSecond: 35}}}}
		if d := cmp.Diff(want, m.heard); d != "" {
			t.Fatalf("loads (-want +got):\n%s", d)
		}
		m.load.Opened[v] = 3 // its row was made anew
		m.second(t)
		if got := m.heard[1].Loads["shop"].NewPerSecond; got != 0 {
			t.Errorf("%v in a second after a counter began anew", got)
		}
		m.load.Opened[v] = 53
		m.second(t)
		if m.mode() != state.ModeShed {
			t.Errorf("mode %v at the limit", m.mode())
		}
	})
}

// Where nothing changes but loads, the kernel is left alone.
func TestMeterLeavesTheKernelAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetering(limited())
		before := m.updates
		v := m.decider.snapshot.Load().Config.Services[0].Virtuals()[0]
		for n := range 5 {
			m.load.OpenOf[v] = n
			m.second(t)
		}
		if m.updates != before || len(m.heard) != 4 {
			t.Errorf("%d updates for %d loads", m.updates-before, len(m.heard))
		}
		m.load.OpenOf[v] = 100
		m.second(t)
		if m.updates != before+1 || m.mode() != state.ModeShed {
			t.Errorf("%d updates, mode %v", m.updates-before, m.mode())
		}
		m.load.OpenOf[v] = 110 // another reason, and the same decision
		m.second(t)
		if m.updates != before+1 {
			t.Errorf("%d updates", m.updates-before)
		}
	})
}

func TestMeterCountsWhatIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := shop("/nowhere") // without limits: an operator sheds
		m := newMetering(cfg)
		v := cfg.Services[0].Virtuals()[0]
		m.second(t)
		m.decider.applyAll([]letter{{events: []state.Event{state.Overridden{Service: "shop", Override: state.Override{Mode: state.OverrideShed, Shed: 0.3}}}}})
		for range 3 {
			s := m.syn[v]
			m.syn[v] = SYNs{TurnedAway: s.TurnedAway + 3, Opened: s.Opened + 7}
			m.second(t)
		}
		if got := m.counted("shop"); got.TurnedAway != 6 || got.Admitted != 14 { // from the first reading on
			t.Errorf("%+v", got)
		}
		m.decider.applyAll([]letter{{events: []state.Event{state.Overridden{Service: "shop"}}}})
		m.second(t)
		if got := m.counted("shop"); got != (api.Shedding{}) {
			t.Errorf("after the end: %+v", got)
		}
	})
}

func TestMeterSumsUpFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := limited()
		four, six := cfg.Services[0], cfg.Services[0]
		four.Name, six.Name = "shop/ipv4", "shop/ipv6"
		six.Addresses = []netip.Addr{netip.MustParseAddr("2001:db8::10")}
		cfg.Services = []config.Service{four, six}
		m := newMetering(cfg)
		m.load.OpenOf[four.Virtuals()[0]], m.load.OpenOf[six.Virtuals()[0]] = 30, 12
		m.second(t)
		m.syn[four.Virtuals()[0]], m.syn[six.Virtuals()[0]] = SYNs{Opened: 1}, SYNs{TurnedAway: 2}
		m.second(t)
		both := state.Load{Connections: 42, NewPerSecond: 3}
		if d := cmp.Diff([]state.Measured{{Loads: map[string]state.Load{"shop/ipv4": both, "shop/ipv6": both}}}, m.heard); d != "" {
			t.Errorf("loads (-want +got):\n%s", d)
		}
	})
}

func TestOverloaded(t *testing.T) {
	a, b := state.ServerID{Pool: "app", Name: "a"}, state.ServerID{Pool: "app", Name: "b"}
	for _, tc := range []struct {
		name   string
		edit   func(*config.Config)
		active map[state.ServerID]int
		up     []string
		want   bool
	}{
		{"both at it", nil, map[state.ServerID]int{a: 10, b: 11}, []string{serverA, serverB}, true},
		{"one below", nil, map[state.ServerID]int{a: 10, b: 9}, []string{serverA, serverB}, false},
		{"the one that is up", nil, map[state.ServerID]int{a: 10}, []string{serverA}, true},
		{"none is up", nil, map[state.ServerID]int{a: 10, b: 10}, nil, false},
		{"one without any", func(c *config.Config) { c.Pools[0].Servers[1].UpperThreshold = 0 },
			map[state.ServerID]int{a: 10, b: 1000}, []string{serverA, serverB}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := limited()
			if tc.edit != nil {
				tc.edit(cfg)
			}
			events := []state.Event{state.Loaded{Config: cfg}}
			for _, server := range tc.up {
				events = append(events, state.Probed{Transition: up(server)})
			}
			st, _ := state.Apply(state.New(), time.Now(), events...)
			if got := overloaded(st, cfg.Services[0], Load{Open: tc.active}); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

// A load that is not known changes nothing, and what comes after it is a rate over the
// time in between.
func TestMeterThatFailsLeavesThingsAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetering(limited())
		v := m.decider.snapshot.Load().Config.Services[0].Virtuals()[0]
		m.second(t)
		m.load.OpenOf[v] = 500
		m.second(t)
		if m.mode() != state.ModeShed {
			t.Fatalf("mode %v", m.mode())
		}
		m.err = errInjected
		for range 3 {
			m.now = m.now.Add(10 * time.Second)
			if err := m.measure(m.now); err == nil {
				t.Fatal("no error")
			}
		}
		if m.mode() != state.ModeShed || len(m.heard) != 1 {
			t.Errorf("mode %v after %d loads", m.mode(), len(m.heard))
		}
		m.err, m.syn[v] = nil, SYNs{Opened: 62}
		m.second(t)
		if got := m.heard[1].Loads["shop"].NewPerSecond; got != 2 {
			t.Errorf("%v in a second, want 62 in 31", got)
		}
	})
}
