// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// prober is the scheduler of checks as the server and its status see it.
type prober struct{ *checkers.Scheduler }

func (prober) String() string { return "checks" }

// Probes tells how every probe stands and how punctual they are.
func (p prober) Probes() ([]api.Probe, api.Lateness) {
	snapshot := p.Snapshot()
	out := make([]api.Probe, 0, len(snapshot))
	for _, s := range snapshot {
		probe := api.Probe{
			Check: s.Key.Check, Target: s.Key.Target.String(), Status: s.Status.String(),
			Since: s.Since.UTC(), Runs: s.Runs, Budget: s.Budget.Seconds(),
		}
		if !s.LastRun.IsZero() {
			probe.Last = &api.Result{
				At: s.LastRun.UTC(), Outcome: s.Last.Outcome.String(), Class: className(s.Last.Class),
				RTT: s.Last.RTT.Seconds(), Message: s.Last.Message,
			}
		}
		out = append(out, probe)
	}
	stats := p.Stats()
	return out, api.Lateness{
		P50:    stats.Lateness.Quantile(0.5).Seconds(),
		P99:    stats.Lateness.Quantile(0.99).Seconds(),
		Missed: stats.Skipped,
	}
}

func className(c checkers.Class) string {
	if c == checkers.ClassNone {
		return ""
	}
	return c.String()
}

// engine is the reconciler as the server sees it: it takes decisions.
type engine struct {
	*reconcile.Engine
	env reconcile.Env
}

// Update derives what the kernel should hold.
func (e engine) Update(s state.State) { e.Engine.Update(reconcile.Derive(s, e.env)) }

// Forwarding tells who forwards to real servers, and if nobody does, why.
func (e engine) Forwarding(f config.Forwarding) (by, note string) {
	switch {
	case f == config.ForwardingNone:
		return string(config.ForwardingNone), "director.forwarding says so"
	case f == config.ForwardingAuto && !e.env.IPVS:
		return string(config.ForwardingNone), "this kernel has no IPVS"
	}
	return string(config.ForwardingIPVS), ""
}

// Targets tells how well each part of the kernel agrees.
func (e engine) Targets() []api.Target {
	status := e.Status()
	out := make([]api.Target, 0, len(status))
	for _, s := range status {
		out = append(out, api.Target{
			Name: s.Name, InSync: s.InSync, Rows: s.Rows, Repairs: s.Repairs, Errors: s.Errors,
			LastError: s.LastError, LastSync: s.LastSync.UTC(),
		})
	}
	return out
}

// datapath is the sorry engine's maps as the status sees them.
type datapath struct{ *maps.Maps }

// Attachments lists where the engine sits.
func (d datapath) Attachments() ([]api.Attachment, error) {
	attached, err := d.Attached()
	if err != nil {
		return nil, err
	}
	out := make([]api.Attachment, 0, len(attached))
	for _, a := range attached {
		out = append(out, attachment(a))
	}
	return out, nil
}

func attachment(a maps.Attachment) api.Attachment {
	out := api.Attachment{Interface: a.Interface, Index: a.Index, XDP: a.XDP, TC: a.TC}
	if a.NoXDP != nil && !a.XDP {
		out.NoXDP = a.NoXDP.Error()
	}
	return out
}

// Verdicts reads the counters.
func (d datapath) Verdicts() (Verdicts, error) {
	counters, err := d.Counters()
	if err != nil {
		return Verdicts{}, err
	}
	out := Verdicts{Services: map[config.Virtual]map[string]api.Counter{}, Total: map[string]api.Counter{}}
	for key, counts := range counters {
		named := make(map[string]api.Counter, len(counts))
		for verdict, c := range counts {
			name := verdict.String()
			named[name] = api.Counter(c)
			sum := out.Total[name]
			out.Total[name] = api.Counter{Packets: sum.Packets + c.Packets, Bytes: sum.Bytes + c.Bytes}
		}
		if key != (maps.Key{}) {
			out.Services[config.Virtual{Addr: key.Addr, Proto: config.TCP}] = named
		}
	}
	return out, nil
}
