// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// meterPeriod is the time between two looks at what services carry.
const meterPeriod = time.Second

// meter measures what the services carry that may have to shed, as long as there are
// any. What it cannot measure it says nothing of, so that services go on as they are.
type meter struct {
	traffic  func(*config.Config) (Load, error)
	syns     func([]config.Virtual) (map[config.Virtual]SYNs, error)
	snapshot func() state.State
	post     func(state.Event)
	log      *slog.Logger

	last   map[string]reading // by service; of Run alone
	failed string             // the error that was told last; of Run alone

	mu    sync.Mutex
	sheds map[string]api.Shedding // guarded by mu; what was counted since each began
}

// reading is what was counted of a service until a moment.
type reading struct {
	at                   time.Time
	admitted, turnedAway uint64
	sheds                bool
}

func newMeter(p Parts, d *decider, log *slog.Logger) *meter {
	return &meter{
		traffic: p.Traffic.Load, syns: p.Datapath.SYNs,
		snapshot: func() state.State { return *d.snapshot.Load() }, post: d.note, log: log,
	}
}

// String names the meter among the tasks of the daemon.
func (*meter) String() string { return "meter" }

// Run measures until ctx ends. A failure that lasts is logged once.
func (m *meter) Run(ctx context.Context) error {
	return every(ctx, meterPeriod, func() {
		switch err := m.measure(time.Now()); {
		case err == nil && m.failed != "":
			m.log.Info("the load of services is measured again")
			m.failed = ""
		case err != nil && err.Error() != m.failed:
			m.failed = err.Error()
			m.log.Error("the load of services is not known, those that shed go on and others do not begin", "error", err)
		}
	})
}

// measure takes one reading of all services that may have to shed.
func (m *meter) measure(now time.Time) error {
	st := m.snapshot()
	services := mayShed(st)
	if len(services) == 0 {
		m.note(nil)
		return nil
	}
	load, err := m.traffic(st.Config)
	if err != nil {
		return err
	}
	var virtuals []config.Virtual
	for _, c := range services {
		virtuals = append(virtuals, c.Virtuals()...)
	}
	syns, err := m.syns(virtuals)
	if err != nil {
		return err
	}
	readings := map[string]reading{}
	for _, c := range services {
		r := reading{at: now, sheds: st.Services[c.Name].Mode == state.ModeShed}
		for _, v := range c.Virtuals() {
			r.admitted += load.Opened[v] + syns[v].Opened
			r.turnedAway += syns[v].TurnedAway
		}
		readings[c.Name] = r
	}
	if loads := m.loads(st, services, load, readings); len(loads) > 0 {
		m.post(state.Measured{Loads: loads})
	}
	m.note(readings)
	return nil
}

// mayShed lists the services that have limits, or shed by an operator's word.
func mayShed(st state.State) []config.Service {
	var services []config.Service
	for _, c := range st.Config.Services {
		if c.Shed.Limits() || st.Services[c.Name].Mode == state.ModeShed {
			services = append(services, c)
		}
	}
	return services
}

// loads compares readings with those before. Both families of a service carry what
// both have together: so its limits are meant. One that is measured for the first time
// has no rate yet, and is not told of.
func (m *meter) loads(st state.State, services []config.Service, load Load, readings map[string]reading) map[string]state.Load {
	sums, fresh := map[string]state.Load{}, map[string]bool{}
	for _, c := range services {
		before, known := m.last[c.Name]
		fresh[c.Given()] = fresh[c.Given()] || !known
		sum := sums[c.Given()]
		sum.NewPerSecond += readings[c.Name].since(before)
		for _, v := range c.Virtuals() {
			sum.Connections += load.OpenOf[v]
		}
		sums[c.Given()] = sum
	}
	loads := map[string]state.Load{}
	for _, c := range services {
		if fresh[c.Given()] {
			continue
		}
		sum := sums[c.Given()]
		sum.Overloaded = overloaded(st, c, load)
		loads[c.Name] = sum
	}
	return loads
}

// overloaded tells whether every server of the service that is up has as many
// connections as it is meant to have, of all services together.
func overloaded(st state.State, c config.Service, load Load) bool {
	pool, _ := st.Config.Pool(c.Pool)
	up := 0
	for _, server := range pool.Serving(c) {
		id := state.ServerID{Pool: pool.Name, Name: server.Name}
		if !st.Servers[id].Verdict.Serves() {
			continue
		}
		if up++; server.UpperThreshold == 0 || load.Open[id] < server.UpperThreshold {
			return false
		}
	}
	return up > 0
}

// note keeps readings for the next time, and sums up what was counted while services
// shed.
func (m *meter) note(readings map[string]reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sheds := map[string]api.Shedding{}
	for name, r := range readings {
		if !r.sheds {
			continue
		}
		sum := m.sheds[name]
		if before, known := m.last[name]; known && before.sheds {
			sum.TurnedAway += grown(before.turnedAway, r.turnedAway)
			sum.Admitted += grown(before.admitted, r.admitted)
		}
		sheds[name] = sum
	}
	m.last, m.sheds = readings, sheds
}

// counted is what was counted since a service began to shed.
func (m *meter) counted(service string) api.Shedding {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sheds[service]
}

// since is how many connections clients have wanted in a second since an earlier
// reading, those that were turned away among them.
func (r reading) since(before reading) float64 {
	seconds := r.at.Sub(before.at).Seconds()
	if before.at.IsZero() || seconds <= 0 {
		return 0
	}
	return float64(grown(before.admitted, r.admitted)+grown(before.turnedAway, r.turnedAway)) / seconds
}

// grown is how much a counter has grown: nothing where it has begun anew.
func grown(before, now uint64) uint64 {
	if now < before {
		return 0
	}
	return now - before
}
