// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/maps"
)

// Where XDP is only wished for, the driver's refusal is no error: the status is
// where an operator finds it.
func TestAttachmentTellsWhyThereIsNoXDP(t *testing.T) {
	for _, tc := range []struct {
		name string
		from maps.Attachment
		want api.Attachment
	}{
		{"both", maps.Attachment{Interface: "eth0", Index: 2, XDP: true, TC: true}, api.Attachment{Interface: "eth0", Index: 2, XDP: true, TC: true}},
		{"refused", maps.Attachment{Interface: "eth0", Index: 2, TC: true, NoXDP: errInjected}, api.Attachment{Interface: "eth0", Index: 2, TC: true, NoXDP: "injected fault"}},
		{"not wished for", maps.Attachment{Interface: "eth0", TC: true}, api.Attachment{Interface: "eth0", TC: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := attachment(tc.from); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// sick is a checker that always has the same to say.
type sick struct{ result checkers.Result }

func (s sick) Check(context.Context, netip.AddrPort) checkers.Result { return s.result }

// What a check says beside up and down is in the status.
func TestProbesTellShareAndHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults, err := checkers.ParseFaults([]string{"status:503"})
		if err != nil {
			t.Fatal(err)
		}
		timing := checkers.Timing{
			Interval: time.Second, DownInterval: time.Minute, Rise: 1, Fall: 1, Fatal: faults, Window: checkers.Window{Runs: 4, Failures: 2},
		}
		p := prober{checkers.NewScheduler(checkers.Options{})}
		p.Set([]checkers.Probe{
			{Key: checkers.Key{Check: "agent"}, Timing: timing, Checker: sick{checkers.Result{
				Outcome: checkers.OutcomeDegraded, Percent: 40, Hint: checkers.HintDrain,
			}}},
			{Key: checkers.Key{Check: "web"}, Timing: timing, Checker: sick{checkers.Result{
				Outcome: checkers.OutcomeFail, Class: checkers.ClassStatus, Detail: "503", Percent: 9,
			}}},
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		probes, _ := p.Probes()
		if got := probes[0]; !got.Degraded || got.Percent != 40 || got.Hint != "drain" || got.Last.Outcome != "degraded" {
			t.Errorf("agent: %+v", got)
		}
		got := probes[1]
		if got.Degraded || got.Percent != 0 || got.Hint != "" || got.Last.Class != "status" || got.Last.Detail != "503" || got.Status != "down" {
			t.Errorf("web: %+v", got)
		}
		if got.Timing.DownInterval != 60 || len(got.Timing.Fatal) != 1 || got.Timing.Window != (api.Window{Runs: 4, Failures: 2}) {
			t.Errorf("web: %+v", got.Timing)
		}
	})
}
