// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

func TestBudgetIsTheLongestOfThePool(t *testing.T) {
	cfg := shop("")
	slow := cfg.Checks[0]
	slow.Name, slow.Timing = "slow", checkers.Timing{Interval: 30 * time.Second, Timeout: 5 * time.Second, Fall: 1}
	cfg.Checks = append(cfg.Checks, slow)
	cfg.Pools = append(cfg.Pools, config.Pool{Name: "bare", Servers: cfg.Pools[0].Servers})
	for _, tc := range []struct {
		name   string
		pool   string
		checks []string
		want   time.Duration
	}{
		{"one check", "app", []string{"web"}, cfg.Checks[0].Timing.Budget() + carryOut},
		{"the slower decides", "app", []string{"web", "slow"}, slow.Timing.Budget() + carryOut},
		{"no checks", "bare", []string{"web"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg.Pools[0].Checks = tc.checks
			service := cfg.Services[0]
			service.Pool = tc.pool
			if got := Budget(cfg, service); got != tc.want {
				t.Errorf("budget %v, want %v", got, tc.want)
			}
		})
	}
}

// TestBudgetCountsAllOnATarget has checks of other pools on the servers of the
// service: their runs and its own take turns.
func TestBudgetCountsAllOnATarget(t *testing.T) {
	cfg := shop("")
	alone := Budget(cfg, cfg.Services[0])
	for i := range 3 {
		check, pool := cfg.Checks[0], cfg.Pools[0]
		check.Name = fmt.Sprintf("other%d", i)
		pool.Name, pool.Checks = check.Name, []string{check.Name}
		cfg.Checks, cfg.Pools = append(cfg.Checks, check), append(cfg.Pools, pool)
	}
	timing := cfg.Checks[0].Timing
	if got, want := Budget(cfg, cfg.Services[0]), alone+time.Duration(timing.Fall)*timing.Timeout; got != want {
		t.Errorf("budget %v with four checks on a target, want %v: one more run of another before each", got, want)
	}
}

// The guide has the budget of the defaults.
func TestGuideHasTheBudget(t *testing.T) {
	guide, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	const format = `
director: {interfaces: [eth0]}
checks: [{name: a, http: {}}, {name: b, http: {}}, {name: c, http: {}}, {name: d, http: {}}]
pools: [{name: app, servers: [{address: 10.0.0.1}], checks: [%s]}]
services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: app}]
`
	for checks, say := range map[string]string{"a": "which is %s seconds with the defaults", "a, b, c, d": "%s seconds with the defaults."} {
		path := filepath.Join(t.TempDir(), "m.yaml")
		if err := os.WriteFile(path, fmt.Appendf(nil, format, checks), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		budget := strconv.FormatFloat(Budget(cfg, cfg.Services[0]).Seconds(), 'g', -1, 64)
		if want := fmt.Sprintf(say, budget); !strings.Contains(string(guide), want) {
			t.Errorf("checks %s: the guide does not say %q", checks, want)
		}
	}
}
