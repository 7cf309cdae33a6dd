// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// TestRandomHistories drives random configurations through random histories and
// compares every step with rules that are written down a second time here, from
// the documentation of config.Quorum and of the verdicts.
func TestRandomHistories(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		playHistory(t, r)
		if t.Failed() {
			return
		}
	}
}

func playHistory(t *testing.T, r *rand.Rand) {
	cfg := randomConfig(t, r)
	probes := state.Probes(cfg)
	now := start
	held := state.Mode(r.IntN(5)) // a mode, or nothing
	s, _ := state.Apply(state.New(), now, state.Loaded{
		Config: cfg, Held: map[config.Virtual]state.Mode{cfg.Services[0].Virtuals()[0]: held},
	})
	latest := map[checkers.Key]checkers.Transition{}
	rules := rules{cfg: cfg, held: held, mode: held}
	rules.follow(s, s, now)
	for range 60 {
		now = now.Add(time.Duration(r.IntN(4000)) * time.Millisecond)
		e := rules.randomEvent(r, probes, latest, now)
		before := dump(s)
		next, _ := state.Apply(s, now, e)
		if !reflect.DeepEqual(before, dump(s)) {
			t.Fatalf("Apply changed its input from\n%v\nto\n%v", before, dump(s))
		}
		checkServers(t, cfg, latest, next)
		want := rules.follow(s, next, now)
		if got := next.Services["shop"].Mode; got != want {
			t.Fatalf("mode %v, want %v after %+v led to\n%v\nfrom\n%v", got, want, e, dump(next), before)
		}
		s = next
	}
	checkFromScratch(t, cfg, latest, s, now)
}

// checkFromScratch compares what a long history led to with what a fresh state
// makes of the latest results alone.
func checkFromScratch(t *testing.T, cfg *config.Config, latest map[checkers.Key]checkers.Transition, s state.State, now time.Time) {
	events := []state.Event{state.Loaded{Config: cfg}, state.Measured{Loads: s.Loads}}
	for name, o := range s.Overrides {
		events = append(events, state.Overridden{Service: name, Override: o})
	}
	for id, o := range s.ServerOverrides {
		events = append(events, state.ServerOverridden{Server: id, Override: o})
	}
	for _, tr := range latest {
		events = append(events, state.Probed{Transition: tr})
	}
	fresh, _ := state.Apply(state.New(), now, events...)
	for id, want := range fresh.Servers {
		got := s.Servers[id]
		want.Since, got.Since = time.Time{}, time.Time{}
		// What remembers: how it was before a result went missing, and before it failed.
		want.Cold, got.Cold, want.Before, got.Before, want.Fell, got.Fell = false, false, 0, 0, time.Time{}, time.Time{}
		want.Gave, got.Gave = state.Factors{}, state.Factors{}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("server %v is %+v, from scratch %+v", id, got, want)
		}
	}
	got, want := s.Services["shop"], fresh.Services["shop"]
	if got.Live != want.Live {
		t.Fatalf("%d live, from scratch %d", got.Live, want.Live)
	}
	if got.Mode != want.Mode || got.Own != want.Own || got.Overload.Why != want.Overload.Why {
		return // by its hysteresis, or in time: that is what the rules are for
	}
	if got.Orphans != want.Orphans || got.Reason != want.Reason || got.Override != want.Override || got.Shed != want.Shed {
		t.Fatalf("service is %+v, from scratch %+v", got, want)
	}
}

func checkServers(t *testing.T, cfg *config.Config, latest map[checkers.Key]checkers.Transition, s state.State) {
	for _, server := range cfg.Pools[0].Servers {
		want := state.VerdictUp
		hard, soft, unknown := 0, 0, 0
		for _, check := range cfg.Checks {
			tr, known := latest[checkers.Key{Check: check.Name, Target: check.Target(server)}]
			switch {
			case !known:
				unknown++
			case tr.Status == checkers.StatusUp:
			case tr.Result.Class == checkers.ClassRefused, tr.Result.Class == checkers.ClassTimeout:
				hard++
			default:
				soft++
			}
		}
		switch {
		case hard > 0:
			want = state.VerdictDown
		case soft > 0:
			want = state.VerdictDrain
		case unknown > 0:
			want = state.VerdictUnknown
		}
		got := s.Servers[state.ServerID{Pool: "app", Name: server.Name}]
		if got.Own != want {
			t.Fatalf("the checks of server %s say %v, want %v", server.Name, got.Own, want)
		}
		want = map[state.ServerMode]state.Verdict{
			state.ServerAuto: want, state.ServerUp: state.VerdictUp, state.ServerDrain: state.VerdictDrain, state.ServerMaint: state.VerdictDown,
		}[s.ServerOverrides[got.ID].Mode]
		if got.Cold && want == state.VerdictUp || !got.Cold && (want == state.VerdictDrain || want == state.VerdictDown) {
			t.Fatalf("server %s is %v and cold: %v", server.Name, want, got.Cold)
		}
		if got.Verdict != want || (got.Weight != 0) != (want == state.VerdictUp) {
			t.Fatalf("server %s is %v with weight %d, want %v", server.Name, got.Verdict, got.Weight, want)
		}
	}
}

// toReturn is what has to live for a service that is down to come up.
func toReturn(cfg *config.Config) int {
	q, all := cfg.Services[0].Quorum, asked(cfg, 100)
	if !q.Percent {
		all = len(cfg.Pools[0].Servers)
	}
	return max(asked(cfg, q.Min), min(asked(cfg, q.Min+q.Hysteresis), all))
}

// amount counts the servers of a verdict, or a hundred times their weight: what
// asked returns is in the same unit.
func amount(cfg *config.Config, s state.State, v state.Verdict) int {
	n, weight := 0, 0
	for _, server := range cfg.Pools[0].Servers {
		if s.Servers[state.ServerID{Pool: "app", Name: server.Name}].Verdict == v {
			n++
			weight += server.Weight
		}
	}
	if cfg.Services[0].Quorum.Percent {
		return weight * 100
	}
	return n
}

func asked(cfg *config.Config, n int) int {
	if !cfg.Services[0].Quorum.Percent {
		return n
	}
	total := 0
	for _, server := range cfg.Pools[0].Servers {
		total += server.Weight
	}
	return n * total
}

func randomConfig(t *testing.T, r *rand.Rand) *config.Config {
	servers := 1 + r.IntN(5)
	percent := r.IntN(2) == 0
	quorum := 1 + r.IntN(servers)
	hysteresis := r.IntN(quorum)
	if percent {
		quorum = 1 + r.IntN(100)
		hysteresis = r.IntN(quorum)
	}
	text := "check web http\ncheck own http port=8080\npool app checks=web,own\npage closed\npage busy\npage works\n"
	for i := range servers {
		text += fmt.Sprintf("server app/s%d 10.0.0.%d:0 weight=%d\n", i, i+1, 1<<r.IntN(4))
	}
	text += fmt.Sprintf("service shop 192.0.2.1:80 pool=app page=closed linger=5s quorum=%d hysteresis=%d percent=%v connections=%d",
		quorum, hysteresis, percent, 100*r.IntN(2))
	if r.IntN(2) == 0 {
		text += " backup=spare\npool spare checks=web\nserver spare/z 10.0.0.99:80\n"
	}
	cfg, err := parseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func randomTransition(r *rand.Rand, key checkers.Key, now time.Time) checkers.Transition {
	tr := checkers.Transition{Key: key, Status: checkers.StatusUp, At: now, Result: checkers.Result{Outcome: checkers.OutcomePass}}
	if r.IntN(2) == 0 {
		failures := []checkers.Class{checkers.ClassRefused, checkers.ClassTimeout, checkers.ClassStatus, checkers.ClassTLS}
		tr.Status = checkers.StatusDown
		tr.Result = checkers.Result{Outcome: checkers.OutcomeFail, Class: failures[r.IntN(len(failures))], Message: "no"}
	}
	return tr
}

// TestProbes sees one probe for a check and a target, whoever uses them.
func TestProbes(t *testing.T) {
	cfg, err := parseConfig(`
		check web http
		check own http port=8080
		pool one checks=web,own
		server one/a 10.0.0.1:80
		server one/b 10.0.0.2:0
		pool two checks=web
		server two/x 10.0.0.1:80
		server two/y 10.0.0.1:81
		service s1 192.0.2.1:80 pool=one
		service s2 192.0.2.2:80 pool=two`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range state.Probes(cfg) {
		got = append(got, p.Key.Check+"@"+p.Key.Target.String())
		if p.Fingerprint == "" || p.Timing.Interval == 0 {
			t.Errorf("%v has no timing or fingerprint", p.Key)
		}
	}
	want := []string{
		"web@10.0.0.1:80", "web@10.0.0.2:80", "own@10.0.0.1:8080", "own@10.0.0.2:8080", "web@10.0.0.1:81",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
