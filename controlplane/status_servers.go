// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"cmp"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// upWhen is when the servers of a pool are up; empty: always.
func upWhen(pool config.Pool) string {
	if len(pool.Checks) == 0 {
		return ""
	}
	return pool.When().String()
}

// describeServer tells how the verdict and the weight of a server come about.
func describeServer(out *api.Server, pool config.Pool, decided state.Server, st state.State) {
	out.UpWhen, out.Held = upWhen(pool), decided.Held
	if out.UpWhen != "" {
		out.UpNow = pool.When().Text(func(check string) string {
			return check + " " + st.Says(check, decided.Config).String()
		})
	}
	if decided.Own != decided.Verdict {
		out.Own = decided.Own.String()
	}
	if o := decided.Override; o != (state.ServerOverride{}) {
		out.Override = &api.ServerOverride{
			Mode: cmp.Or(string(o.Mode), "auto"), Weight: o.Weight, Since: o.Since.UTC(), Until: o.Until.UTC(),
		}
	}
	if decided.Weight > 0 {
		f := decided.Factors
		out.Factors = &api.Factors{
			Checks: other(f.Checks), Degraded: other(f.Degraded), Slow: other(f.Slow), Operator: other(f.Operator),
			Text: f.Text(decided.Config.Weight),
		}
	}
}

// other is a factor that makes a difference, else zero.
func other(factor float64) float64 {
	if factor == 1 {
		return 0
	}
	return factor
}

// guard tells of it while switching is frozen.
func guard(st state.State) *api.Guard {
	g := st.Guard
	if !g.Frozen {
		return nil
	}
	out := &api.Guard{Since: g.Since.UTC(), Until: g.Until.UTC(), Reason: g.Why}
	for id, server := range st.Servers {
		if server.Held {
			out.Held = append(out.Held, id.String())
		}
	}
	slices.Sort(out.Held)
	return out
}
