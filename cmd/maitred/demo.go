// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// demoTimeout is the most that the whole demo takes; on an emulated processor
// everything is slow.
const demoTimeout = 4 * time.Minute

func (a *app) demo() *cobra.Command {
	var engine string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show balanced traffic, a drain, an outage and its end on a small network in namespaces",
		Long: `Build a client, a director and two real servers in network namespaces, run the
daemon on the director, and tell what a client sees: balanced traffic, a server
drained under a download, both servers killed, the sorry page from the kernel, one
server back. Exit code 1 if anything is not as it should be. It needs root; it
forwards by IPVS where the kernel has it, else by eBPF.`,
		Args: cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			by, err := demoEngine(engine, askIPVS)
			if err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("the demo makes network namespaces (CAP_SYS_ADMIN): run it as root")
			}
			ctx, cancel := context.WithTimeout(ctx, demoTimeout)
			defer cancel()
			return playDemo(ctx, a.Stdout, by)
		}),
	}
	c.Flags().StringVar(&engine, "engine", "auto", "who forwards: auto, ipvs or `ebpf`")
	return c
}

// demoEngine is who forwards in the demo.
func demoEngine(asked string, ipvs func() error) (config.Forwarding, error) {
	switch f := config.Forwarding(asked); f {
	case config.ForwardingAuto, config.ForwardingEBPF:
		return f, nil
	case config.ForwardingIPVS:
		if err := ipvs(); err != nil {
			return f, fmt.Errorf("this kernel has no IPVS: take --engine ebpf: %w", err)
		}
		return f, nil
	case config.ForwardingNone:
	}
	return "", &failure{code: exitUsage, err: fmt.Errorf("--engine %s: the engines are auto, ipvs, ebpf", asked)}
}

// playDemo plays all acts and takes everything down again.
func playDemo(ctx context.Context, out io.Writer, engine config.Forwarding) (err error) {
	n := &narrator{out: out, start: time.Now()}
	s, err := newStage(ctx, engine)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, act := range []func(context.Context, *stage, *narrator) error{
		prologue, actBalanced, actDrain, actSorry, actBack, actEnd,
	} {
		if err := act(ctx, s, n); err != nil {
			return fmt.Errorf("%w\nthe daemon's last words:\n%s", err, s.lastWords())
		}
	}
	if n.wrong > 0 {
		return fmt.Errorf("%d of %d facts do not hold\nthe daemon's last words:\n%s", n.wrong, n.facts, s.lastWords())
	}
	n.say("All %d facts hold, in %v.", n.facts, n.elapsed())
	return nil
}

// narrator tells what happens, and keeps count of what is not as it should be.
type narrator struct {
	out          io.Writer
	start        time.Time
	facts, wrong int
}

func (n *narrator) elapsed() time.Duration { return time.Since(n.start).Round(100 * time.Millisecond) }

func (n *narrator) act(title string) { n.say("\n== %s", title) }

func (n *narrator) say(format string, args ...any) {
	_, _ = fmt.Fprintf(n.out, format+"\n", args...) // without an audience the facts still count
}

// fact tells something that was measured and must hold.
func (n *narrator) fact(holds bool, format string, args ...any) {
	n.facts++
	mark := "[ok]  "
	if !holds {
		n.wrong++
		mark = "[FAIL]"
	}
	n.say("  "+mark+" "+format, args...)
}

// until looks again and again until done says so, at most for the given time, and
// no longer than ctx.
func until(ctx context.Context, limit time.Duration, what string, done func() bool) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-timer.C:
			return fmt.Errorf("after %v still not: %s", limit, what)
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}
