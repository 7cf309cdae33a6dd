// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

func (a *app) check() *cobra.Command {
	c := &cobra.Command{Use: "check", Short: "Try health checks"}
	c.AddCommand(a.checkRun(), a.checkPush())
	return c
}

// checkReport is one run of a check.
type checkReport struct {
	Check   string      `json:"check"`
	Kind    string      `json:"kind"`
	Target  string      `json:"target"`
	Via     string      `json:"via"`
	Steps   []checkStep `json:"steps"`
	Outcome string      `json:"outcome"`
	Class   string      `json:"class,omitempty"`
	Detail  string      `json:"detail,omitempty"`
	Percent int         `json:"percent,omitempty"`
	Hint    string      `json:"hint,omitempty"`
	Message string      `json:"message"`
	Millis  float64     `json:"rtt_ms"`
}

// checkStep is something that was done, and when since the run began.
type checkStep struct {
	Millis float64 `json:"at_ms"`
	What   string  `json:"what"`
}

func (a *app) checkRun() *cobra.Command {
	var server, output string
	c := &cobra.Command{
		Use:   "run CHECK --server SERVER",
		Short: "Run a check of the configuration once and tell its steps",
		Long: `Run a check of the configuration once, from here, and tell its steps. No daemon is
needed, and none hears of it. SERVER is one of the configuration as POOL/NAME, or
any address, with a port or without.

Exit codes: 0 the check passes, if only in part, 1 it fails and nothing else, 2 usage:
there is no such check or server, or no good configuration, 3 it could not be run,
which says nothing of the server.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one check" + a.someChecks())
			}
			if server == "" {
				return errors.New("name the server to ask with --server: POOL/NAME or an address")
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.checkNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: does(func(ctx context.Context, args []string) error {
			if output != "text" && output != "json" {
				return badOutput(output, "text", "json")
			}
			return a.tryCheck(ctx, args[0], server, output)
		}),
	}
	c.Flags().StringVar(&server, "server", "", "`SERVER` that is asked: POOL/NAME or an address")
	c.Flags().StringVarP(&output, "output", "o", "text", "`format`: text or json")
	_ = c.RegisterFlagCompletionFunc("server", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.checkedServers(args), cobra.ShellCompDirectiveNoFileComp
	})
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// tryCheck runs a check once. An outcome other than a pass is a failure of the
// command, of which all is told.
func (a *app) tryCheck(ctx context.Context, name, server, output string) (err error) {
	log, err := a.logger("warn", "text") // of modules
	if err != nil {
		return err
	}
	env := kind.NewEnv(log)
	defer func() { err = errors.Join(err, env.Close()) }()
	cfg, err := a.loadConfigWith(kind.NewTable(env), a.configFile())
	if err != nil {
		return misused(err)
	}
	check, ok := cfg.Check(name)
	if !ok {
		names := checkNames(cfg)
		return misused(fmt.Errorf("there is no check %q%s: there are %s", name, config.DidYouMean(name, names), strings.Join(names, ", ")))
	}
	probe, err := probeOf(cfg, check, server)
	if err != nil {
		return misused(err)
	}
	r, code := runCheck(ctx, check, probe)
	if output == "json" {
		err = printJSON(a.Stdout, r)
	} else {
		err = writeText(a.Stdout, r.text())
	}
	if err == nil && code != exitDone {
		err = &failure{code: code, err: errTold}
	}
	return err
}

// probeOf is the probe of a check on a server of the configuration, or on an
// address of which the configuration need not know.
func probeOf(cfg *config.Config, check config.Check, server string) (checkers.Probe, error) {
	target, err := targetOf(cfg, check, server)
	if err != nil {
		return checkers.Probe{}, err
	}
	key := checkers.Key{Check: check.Name, Target: target}
	probes := state.Probes(cfg)
	if i := slices.IndexFunc(probes, func(p checkers.Probe) bool { return p.Key == key }); i >= 0 {
		return probes[i], nil
	}
	if check.Via == config.ViaDataplane {
		return checkers.Probe{}, fmt.Errorf("check %s goes via the data path, which leads to servers of pools that use it: not to %s", check.Name, server)
	}
	return checkers.Probe{Key: key, Checker: check.Checker, Timing: check.Timing}, nil
}

func targetOf(cfg *config.Config, check config.Check, server string) (netip.AddrPort, error) {
	var target netip.AddrPort
	if pool, name, ok := strings.Cut(server, "/"); ok {
		p, _ := cfg.Pool(pool)
		s, ok := serverOf(p, name)
		switch {
		case !ok:
			names := configuredServers(cfg)
			return target, fmt.Errorf("there is no server %q%s: there are %s", server, config.DidYouMean(server, names), strings.Join(names, ", "))
		case !s.Address.IsValid():
			return target, fmt.Errorf("--server %s: the DNS tells where %s is, which is not asked here: name an address, as in %s@ADDRESS", server, s.Host.Name, server)
		}
		target = check.Target(s)
	} else if addr, err := netip.ParseAddr(server); err == nil {
		target = check.Target(config.Server{Address: addr.Unmap()})
	} else if target, err = netip.ParseAddrPort(server); err != nil {
		return target, fmt.Errorf("--server %s: this is neither POOL/NAME nor an address", server)
	}
	if target.Port() == 0 && !check.PortOptional {
		return target, fmt.Errorf("--server %s: check %s has no port of its own: name one, as in %s", server, check.Name, netip.AddrPortFrom(target.Addr(), 80))
	}
	return target, nil
}

// serverOf is a server of the pool. One that a name leads to is called NAME@ADDRESS, as
// status does, with a port if records of service tell it; NAME alone has no address.
func serverOf(p config.Pool, name string) (config.Server, bool) {
	for _, s := range slices.Concat(p.Servers, p.Hosts) {
		if s.Name == name {
			return s, true
		}
	}
	for _, s := range p.Hosts {
		where, led := strings.CutPrefix(name, s.Name+"@")
		at, err := netip.ParseAddrPort(where)
		if err == nil {
			s.Port = at.Port()
		} else if addr, err := netip.ParseAddr(where); err == nil {
			at = netip.AddrPortFrom(addr, 0)
		}
		if led && at.IsValid() {
			s.Address = at.Addr().Unmap()
			return s, true
		}
	}
	return config.Server{}, false
}

// runCheck runs a probe once, with the time that the daemon gives it.
func runCheck(ctx context.Context, check config.Check, p checkers.Probe) (checkReport, int) {
	r := checkReport{
		Check: check.Name, Kind: check.Type, Target: p.Key.Target.String(), Via: string(check.Via), Steps: []checkStep{},
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timing.Timeout)
	defer cancel()
	steps := new(steps)
	result := p.Checker.Check(kind.Traced(ctx, steps.add), p.Key.Target)
	r.Steps = append(r.Steps, steps.all()...)
	r.Outcome, r.Detail, r.Percent, r.Message = result.Outcome.String(), result.Detail, result.Percent, result.Message
	r.Millis = millis(result.RTT)
	if result.Class != checkers.ClassNone {
		r.Class = result.Class.String()
	}
	if result.Hint != checkers.HintNone {
		r.Hint = result.Hint.String()
	}
	switch result.Outcome {
	case checkers.OutcomePass, checkers.OutcomeDegraded:
		return r, exitDone
	case checkers.OutcomeFail:
		return r, exitFailed
	case checkers.OutcomeUnknown:
	}
	return r, exitNotSeen
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r checkReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "check %s (%s, via %s) on %s\n", r.Check, r.Kind, r.Via, r.Target)
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%9.1f ms  %s\n", s.Millis, s.What)
	}
	fmt.Fprintf(&b, "%9.1f ms  %s", r.Millis, r.Outcome)
	if r.Class != "" {
		fmt.Fprintf(&b, " (%s)", r.Class)
	}
	if r.Percent != 0 {
		fmt.Fprintf(&b, ", %d%% of the weight", r.Percent)
	}
	if r.Hint != "" {
		fmt.Fprintf(&b, ", the server asks for %s", r.Hint)
	}
	fmt.Fprintf(&b, ": %s\n", r.Message)
	return b.String()
}

// someChecks lists the checks that there are, where that is known.
func (a *app) someChecks() string {
	if names := a.checkNames(); len(names) > 0 {
		return ": there are " + strings.Join(names, ", ")
	}
	return ""
}

func (a *app) checkNames() []string {
	cfg, err := config.Load(a.configFile())
	if err != nil {
		return nil
	}
	return checkNames(cfg)
}

func checkNames(cfg *config.Config) []string {
	var names []string
	for _, c := range cfg.Checks {
		names = append(names, c.Name)
	}
	return names
}

// checkedServers lists the servers that need the check, or all.
func (a *app) checkedServers(args []string) []string {
	cfg, err := config.Load(a.configFile())
	if err != nil {
		return nil
	}
	return configuredServers(cfg, args...)
}

func configuredServers(cfg *config.Config, checks ...string) []string {
	var names []string
	for _, p := range cfg.Pools {
		if len(checks) > 0 && !slices.Contains(p.Checks, checks[0]) {
			continue
		}
		for _, s := range p.Servers {
			names = append(names, p.Name+"/"+s.Name)
		}
	}
	return names
}
