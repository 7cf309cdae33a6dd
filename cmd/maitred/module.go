// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/checkers/module"
	"github.com/maitred-lb/maitred/controlplane/api"
)

func (a *app) module() *cobra.Command {
	c := &cobra.Command{
		Use:   "module",
		Short: "List the modules of the daemon, or test one",
		Long: `List the modules of the daemon, or test one. A module is a check that you write
yourself, as a shared object or as a program: docs/modules.md tells how.`,
	}
	c.AddCommand(a.moduleList(), a.moduleTest())
	return c
}

func (a *app) moduleList() *cobra.Command {
	var output string
	c := a.withSocket(&cobra.Command{
		Use:   "list",
		Short: "List the modules that the daemon has called",
		Args:  cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			if output != "text" && output != "json" {
				return badOutput(output, "text", "json")
			}
			st, err := a.client().Status(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(a.Stdout, st.Modules)
			}
			return writeText(a.Stdout, modulesText(st.Modules, a.Now()))
		}),
	})
	c.Flags().StringVarP(&output, "output", "o", "text", "`format`: text or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// modulesText is a table of modules, and below it why some have ended.
func modulesText(all []api.Module, now time.Time) string {
	if len(all) == 0 {
		return "No module has been called.\n"
	}
	t := newTable("MODULE", "PHASE", "PID", "IN FLIGHT", "CALLS", "LATE", "STARTS", "CRASHES")
	var notes strings.Builder
	for _, m := range all {
		pid := "-"
		if m.PID != 0 {
			pid = strconv.Itoa(m.PID)
		}
		phase := m.Phase
		if m.Until != nil {
			phase += " for " + max(m.Until.Sub(now), 0).Round(time.Second).String()
		}
		t.row(m.Name, phase, pid, fmt.Sprintf("%d/%d", m.InFlight, m.Parallel), fmt.Sprint(m.Calls), fmt.Sprint(m.Late),
			fmt.Sprint(m.Starts), fmt.Sprint(m.Crashes))
		if m.Why != "" {
			fmt.Fprintf(&notes, "%s has ended the last time because: %s\n", m.Name, m.Why)
		}
	}
	return t.String() + notes.String()
}

// told is what the daemon tells of its modules.
func told(all []module.Status) []api.Module {
	var out []api.Module
	for _, s := range all {
		m := api.Module{
			Name: s.Name, What: s.Command, Phase: string(s.Phase), PID: s.PID, Parallel: s.Parallel, InFlight: s.InFlight,
			Calls: s.Calls, Late: s.Late, Starts: s.Starts, Crashes: s.Crashes, Why: s.Why,
		}
		if !s.Until.IsZero() {
			until := s.Until.UTC()
			m.Until = &until
		}
		out = append(out, m)
	}
	return out
}

// trial is what a module is tested with.
type trial struct {
	target    string
	args      []string
	calls     int
	timeout   time.Duration
	coprocess bool
}

func (a *app) moduleTest() *cobra.Command {
	var f trial
	c := &cobra.Command{
		Use:   "test FILE",
		Short: "Test a module: its interface, leaks over many calls, calls at the same time",
		Long: `Test a module: its interface, leaks over many calls, calls at the same time. It runs
as it does in the daemon, in a process of its own. FILE is a shared object, or with
--coprocess a program.`,
		Args: cobra.ExactArgs(1),
		RunE: does(func(ctx context.Context, args []string) error {
			return a.tryModule(ctx, args[0], f)
		}),
	}
	flags := c.Flags()
	flags.StringVar(&f.target, "target", "127.0.0.1:80", "`address` and port that it is to check")
	flags.StringArrayVar(&f.args, "arg", nil, "`name=value` to tell it; may be given several times")
	flags.IntVar(&f.calls, "calls", 20000, "to make, at least 200")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Second, "of a call")
	flags.BoolVar(&f.coprocess, "coprocess", false, "FILE is a program")
	return c
}

func (a *app) tryModule(ctx context.Context, file string, f trial) (err error) {
	target, err := netip.ParseAddrPort(f.target)
	if err != nil {
		return &failure{code: exitUsage, err: fmt.Errorf("--target %s: write an address and a port, as in 192.0.2.1:80", f.target)}
	}
	if f.calls < module.LeastCalls {
		return &failure{code: exitUsage, err: fmt.Errorf("--calls %d: make %d or more", f.calls, module.LeastCalls)}
	}
	if f.timeout <= 0 {
		return &failure{code: exitUsage, err: fmt.Errorf("--timeout %v: give a call some time, as in 2s", f.timeout)}
	}
	args, err := kind.Settings(f.args)
	if err != nil {
		return &failure{code: exitUsage, err: fmt.Errorf("--arg %w", err)}
	}
	user, err := module.FindUser("")
	if err != nil {
		return err
	}
	const memory = 1 << 30 // as the check's option memory_mib has it
	spec, err := module.SharedObject(file, user, memory)
	if f.coprocess {
		spec, err = module.Coprocess([]string{file}, user, memory)
	}
	if err != nil {
		return err
	}
	log, err := a.logger("info", "text") // what the module prints
	if err != nil {
		return err
	}
	hosts := module.NewHosts(log)
	defer hosts.Close()
	report, err := module.Try(ctx, hosts.Host(spec), module.Trial{
		Target: target, Args: args, Calls: f.calls, Timeout: f.timeout,
	})
	if report != "" {
		if err := writeText(a.Stdout, report); err != nil {
			return err
		}
	}
	return err
}
