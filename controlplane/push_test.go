// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// TestPush tells a daemon of servers, and asks the check what it then says.
func TestPush(t *testing.T) {
	env := kind.NewEnv(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	row, _ := kind.NewTable(env).Lookup("push")
	made, err := row.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	checker := kind.Named(made, "job")
	address := netip.MustParseAddr("10.0.0.11")
	server := config.Server{Name: "a", Address: address, Port: 80}
	s := New(Options{Pushes: env.Pushes, Keep: env.Keep, Logger: slog.New(slog.DiscardHandler)})
	s.decider.snapshot.Store(&state.State{Config: &config.Config{
		Checks: []config.Check{{Name: "job", Type: "push", Portless: true}, {Name: "web", Type: "http"}},
		Pools: []config.Pool{
			{Name: "app", Servers: []config.Server{server}, Checks: []string{"job"}},
			{Name: "other", Servers: []config.Server{{Name: "b", Address: netip.MustParseAddr("10.0.0.12")}}, Checks: []string{"web"}},
		},
	}})
	for _, name := range []string{"app/a", "a", "10.0.0.11"} {
		pushed, err := s.Push(t.Context(), api.Push{Check: "job", Server: name, Outcome: checkers.OutcomePass, Percent: 50, Message: name})
		if err != nil || len(pushed.Probes) != 1 || pushed.Probes[0] != (api.ProbeKey{Check: "job", Target: "10.0.0.11"}) {
			t.Errorf("%s: %+v, %v", name, pushed, err)
		}
		r := checker.Check(t.Context(), netip.AddrPortFrom(address, 0))
		if r.Outcome != checkers.OutcomePass || r.Percent != 50 || r.Message != "push job: "+name {
			t.Errorf("%s: the check says %+v", name, r)
		}
	}
	s.parts.Prober = noProber{}
	s.setProbes(nil) // a reload takes the check away, and another brings it back
	address0 := netip.AddrPortFrom(address, 0)
	if r := checker.Check(t.Context(), address0); r.Outcome != checkers.OutcomeUnknown {
		t.Errorf("what was pushed before is not forgotten: %+v", r)
	}
	for _, test := range []struct {
		name string
		push api.Push
		want string
	}{
		{"no check", api.Push{Check: "jop", Server: "a", Outcome: checkers.OutcomePass}, `there is no check of type push named "jop" (did you mean job?): there are job`},
		{"another type", api.Push{Check: "web", Server: "b", Outcome: checkers.OutcomePass}, `there is no check of type push named "web"`},
		{"no server", api.Push{Check: "job", Server: "b", Outcome: checkers.OutcomePass}, `no pool with check "job" has a server "b": there are app/a`},
		{"no outcome", api.Push{Check: "job", Server: "a"}, "say how the server is: pass, degraded or fail"},
		{"weight", api.Push{Check: "job", Server: "a", Outcome: checkers.OutcomePass, Percent: 1001}, "a weight of 1001 percent is out of range: 1 to 1000"},
		{"ttl", api.Push{Check: "job", Server: "a", Outcome: checkers.OutcomePass, Seconds: 1e6}, "a push holds for 24h at most"},
	} {
		if _, err := s.Push(t.Context(), test.push); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// noProber is a scheduler that runs nothing.
type noProber struct{ Prober }

func (noProber) Set([]checkers.Probe) {}
