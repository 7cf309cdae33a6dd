// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
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
			Check: s.Key.Check, Target: targetText(s.Key.Target), Status: s.Status.String(),
			Since: s.Since.UTC(), Runs: s.Runs, Budget: s.Budget.Seconds(),
			Timing: timing(s.Timing), Passes: s.Passes, Fails: s.Fails, Failures: s.Failures,
			Flaps: s.Flaps, Suppressed: s.Suppressed, Degraded: s.Degraded, Percent: s.Percent, Hint: hintName(s.Hint),
		}
		if !s.LastRun.IsZero() {
			probe.Last = &api.Result{
				At: s.LastRun.UTC(), Outcome: s.Last.Outcome.String(), Class: className(s.Last.Class), Detail: s.Last.Detail,
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

func timing(t checkers.Timing) api.Timing {
	return api.Timing{
		Interval: t.Interval.Seconds(), FastInterval: t.FastInterval.Seconds(), Timeout: t.Timeout.Seconds(),
		DownInterval: t.DownInterval.Seconds(), Rise: t.Rise, Fall: t.Fall,
		Fatal: t.Fatal.Names(), Window: api.Window(t.Window), Damped: t.Flap.HalfLife > 0,
	}
}

func className(c checkers.Class) string {
	if c == checkers.ClassNone {
		return ""
	}
	return c.String()
}

func hintName(h checkers.Hint) string {
	if h == checkers.HintNone {
		return ""
	}
	return h.String()
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

// SYNs reads two of the counters.
func (d datapath) SYNs(virtuals []config.Virtual) (map[config.Virtual]SYNs, error) {
	out := make(map[config.Virtual]SYNs, len(virtuals))
	for _, v := range virtuals {
		counts, err := d.CountersOf(reconcile.KeyOf(v), maps.VerdictAnswerSYN, maps.VerdictForwardOpen)
		if err != nil {
			return nil, err
		}
		out[v] = SYNs{TurnedAway: counts[maps.VerdictAnswerSYN].Packets, Opened: counts[maps.VerdictForwardOpen].Packets}
	}
	return out, nil
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
			out.Services[reconcile.VirtualOf(key)] = named
		}
	}
	return out, nil
}
