// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// journal is what the fakes were made to do, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
	grew  chan struct{} // replaced and closed at each line
}

func newJournal() *journal { return &journal{grew: make(chan struct{})} }

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	close(j.grew)
	j.grew = make(chan struct{})
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// wait returns once n lines are the given one, or false when ctx ends.
func (j *journal) wait(ctx context.Context, line string, n int) bool {
	for {
		j.mu.Lock()
		count, grew := 0, j.grew
		for _, l := range j.lines {
			if l == line {
				count++
			}
		}
		j.mu.Unlock()
		if count >= n {
			return true
		}
		select {
		case <-grew:
		case <-ctx.Done():
			return false
		}
	}
}

// fakeProber reports what the test tells it to.
type fakeProber struct {
	*journal
	mu     sync.Mutex
	probes []checkers.Probe
}

func (p *fakeProber) String() string { return "prober" }

func (p *fakeProber) Run(ctx context.Context) error {
	p.add("prober runs")
	<-ctx.Done()
	p.add("prober ends")
	return nil
}

func (p *fakeProber) Set(probes []checkers.Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes = probes
}

func (p *fakeProber) Probes() ([]api.Probe, api.Lateness) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []api.Probe
	for _, probe := range p.probes {
		out = append(out, api.Probe{Check: probe.Key.Check, Target: probe.Key.Target.String()})
	}
	return out, api.Lateness{}
}

// fakeEngine keeps the last decision and fails where it is told to.
type fakeEngine struct {
	*journal
	runErr, stopErr, syncErr, withdrawErr error
	by                                    config.Forwarding // what this engine can't do is refused
	slots                                 map[maps.ServerID]int
}

func (e *fakeEngine) String() string { return "engine" }

func (e *fakeEngine) Run(ctx context.Context) error {
	e.add("engine runs")
	if e.runErr != nil {
		return e.runErr
	}
	<-ctx.Done()
	e.add("engine ends")
	return e.stopErr
}

func (e *fakeEngine) Update(s state.State) {
	for _, c := range s.Config.Services {
		e.add(c.Name + " " + s.Services[c.Name].Mode.String())
	}
}

func (e *fakeEngine) Resync()                        { e.add("resync") }
func (e *fakeEngine) Sync(context.Context) error     { e.add("sync"); return e.syncErr }
func (e *fakeEngine) Withdraw(context.Context) error { e.add("rows withdrawn"); return e.withdrawErr }
func (e *fakeEngine) Targets() []api.Target {
	if e.syncErr != nil {
		return []api.Target{{Name: "ipvs", LastError: e.syncErr.Error()}}
	}
	return []api.Target{{Name: "ipvs", InSync: true}}
}

func (e *fakeEngine) Forwarding(config.Forwarding) (by, note string) { return "none", "no IPVS here" }

func (e *fakeEngine) Notices() []string { return []string{"no route leads to 10.0.0.11"} }

func (e *fakeEngine) Slots(s state.State, _ config.Virtual) (map[maps.ServerID]int, bool) {
	return e.slots, e.slots != nil
}

func (e *fakeEngine) Refuse(cfg *config.Config) []error { return cfg.Refuse(e.by) }

// fakeDatapath counts what it is given and fails where it is told to.
type fakeDatapath struct {
	*journal
	verdicts Verdicts
	held     map[config.Virtual]state.Mode
	syns     map[config.Virtual]SYNs
	err      error
}

func (d *fakeDatapath) Held() (map[config.Virtual]state.Mode, error) { return d.held, d.err }

func (d *fakeDatapath) SetAbsence(maps.Absence) error { return d.err }
func (d *fakeDatapath) Beat(time.Duration) error      { return d.err }
func (d *fakeDatapath) Absent() (bool, error)         { return false, d.err }
func (d *fakeDatapath) RotateKey() error              { d.add("key"); return d.err }
func (d *fakeDatapath) SetKeys(current, also maps.CookieKey) error {
	d.add(fmt.Sprintf("keys %x %x", current[:4], also[:4]))
	return d.err
}
func (d *fakeDatapath) Attachments() ([]api.Attachment, error) {
	return []api.Attachment{{Interface: "eth0", TC: true}}, d.err
}
func (d *fakeDatapath) SYNs([]config.Virtual) (map[config.Virtual]SYNs, error) {
	return d.syns, d.err
}
func (d *fakeDatapath) Verdicts() (Verdicts, error) { return d.verdicts, d.err }

// checkNothing is a checker that is never run.
type checkNothing struct{}

func (checkNothing) Check(context.Context, netip.AddrPort) checkers.Result {
	return checkers.Result{Outcome: checkers.OutcomeUnknown}
}

// shop is a configuration of one service over two servers.
func shop(socket string) *config.Config {
	timing := checkers.Timing{
		Interval: 5 * time.Second, FastInterval: time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
	}
	return &config.Config{
		Director: config.Director{Name: "lb1", Interfaces: []string{"eth0"}, OnStop: config.OnStopKeep, Resync: time.Minute, StateDir: filepath.Dir(socket)},
		Checks:   []config.Check{{Name: "web", Type: "http", DefaultPort: 80, Timing: timing, Checker: checkNothing{}, Fingerprint: "1"}},
		Pools: []config.Pool{{Name: "app", Checks: []string{"web"}, Servers: []config.Server{
			{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Weight: 100},
			{Name: "b", Address: netip.MustParseAddr("10.0.0.12"), Weight: 100},
		}}},
		Pages: []config.Page{{Name: "closed"}},
		Services: []config.Service{{
			Name: "shop", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Ports: []uint16{80},
			Protocol: config.TCP, Scheduler: "wlc", Method: config.NAT, Pool: "app",
			Quorum: config.Quorum{Min: 1}, Sorry: config.Sorry{Page: "closed", Orphans: config.OrphansReset},
		}},
		Admin: config.Admin{Socket: socket},
	}
}

// key names the probe of shop's check on a server.
func key(server string) checkers.Key {
	return checkers.Key{Check: "web", Target: netip.MustParseAddrPort(server + ":80")}
}

func up(server string) checkers.Transition {
	return checkers.Transition{Key: key(server), Status: checkers.StatusUp, At: time.Now(),
		Result: checkers.Result{Outcome: checkers.OutcomePass}}
}

func down(server string) checkers.Transition {
	return checkers.Transition{Key: key(server), Status: checkers.StatusDown, At: time.Now(),
		Result: checkers.Result{Outcome: checkers.OutcomeFail, Class: checkers.ClassRefused, Message: "connection refused"}}
}

var errInjected = errors.New("injected fault")
