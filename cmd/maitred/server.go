// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func (a *app) server() *cobra.Command {
	c := &cobra.Command{
		Use:   "server",
		Short: "Take a real server out of service or put it in, whatever its checks say",
		Long: `Take a real server out of service or put it in, whatever its checks say. What is said
holds at once, over reloads and restarts, until its time is up or it is taken back.

Servers are named POOL/NAME; 'app/*' means all of pool app, '*/a' that of every pool. A
command is done when the kernel has it. Exit code 3: the kernel does not agree yet, the
daemon goes on trying.`,
	}
	c.AddCommand(
		a.serverWord("drain", "Send no new connections; those that are open go on", false),
		a.serverWord("maint", "Send nothing, as if the server were down", false),
		a.serverWord("up", "Send connections, even if its checks fail", true),
		a.serverWord("auto", "Take back what was said: its checks decide", true),
		a.serverStatus(),
	)
	return c
}

// serverWord is a command that says a mode.
func (a *app) serverWord(mode, short string, weighs bool) *cobra.Command {
	w := api.ServerWord{Mode: mode}
	var lasts time.Duration
	var weight string
	c := a.withSocket(&cobra.Command{
		Use:   mode + " POOL/SERVER...",
		Short: short,
		Args: func(c *cobra.Command, args []string) (err error) {
			switch {
			case len(args) == 0:
				return fmt.Errorf("%s takes names of servers, as POOL/SERVER", c.CommandPath())
			case lasts < 0:
				return fmt.Errorf("--for %v lies in the past", lasts)
			case weight != "":
				w.Weight, err = weightPart(weight)
			}
			return err
		},
		RunE: does(func(ctx context.Context, args []string) error {
			w.Servers, w.For = args, lasts.Seconds()
			return a.sayOfServers(ctx, w)
		}),
		ValidArgsFunction: a.completeServers,
	})
	c.Flags().DurationVar(&lasts, "for", 0, "take it back by itself after this `duration`")
	if weighs {
		c.Flags().StringVar(&weight, "weight", "", "the `part` of its weight that the server gets, as in 50%")
	}
	return c
}

// weightPart reads a part of a weight, which may be more than all of it.
func weightPart(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !percent || !(n > 0 && n <= 1000) {
		return 0, fmt.Errorf(`--weight takes a part of the weight, above 0%% and at most 1000%%, as in "50%%", not %q`, text)
	}
	return n / 100, nil
}

// sayOfServers has the daemon do it, and tells what has come of it.
func (a *app) sayOfServers(ctx context.Context, w api.ServerWord) error {
	said, err := a.client().Server(ctx, w)
	if err != nil {
		return usage(remedy(err))
	}
	for _, s := range said.Servers {
		if err := writeText(a.Stdout, a.serverSaidText(s, len(said.Kernel) == 0)+"\n"); err != nil {
			return err
		}
	}
	if len(said.Kernel) > 0 {
		return &failure{code: exitNotSeen, err: fmt.Errorf(
			"it is decided, but the kernel does not agree yet: %s: see maitred status", strings.Join(said.Kernel, "; "))}
	}
	return nil
}

// serverSaidText is how a server is now.
func (a *app) serverSaidText(s api.ServerSaidOf, inForce bool) string {
	text := fmt.Sprintf("%s: %s, weight %d", s.Name, a.paint(s.Verdict), s.Weight)
	if inForce && s.Verdict != "unknown" {
		text += ", in force"
	}
	if !s.Changed {
		text += ", as was said before"
	}
	return text + ": " + s.Reason
}

func (a *app) serverStatus() *cobra.Command {
	var output string
	c := a.withSocket(&cobra.Command{
		Use:   "status",
		Short: "Tell what was said of servers, and for how long",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%s takes no argument, such as %q", c.CommandPath(), args[0])
			}
			return nil
		},
		RunE: does(func(ctx context.Context, _ []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table", "json")
			}
			st, err := a.client().Status(ctx)
			if err != nil {
				return remedy(err)
			}
			servers := slices.DeleteFunc(st.Servers, func(s api.Server) bool { return s.Override == nil })
			if output == "json" {
				return printJSON(a.Stdout, servers)
			}
			if len(servers) == 0 {
				return writeText(a.Stdout, "nothing was said: checks decide on all servers\n")
			}
			t := a.table("SERVER", "VERDICT", "WEIGHT", "SAID", "SINCE", "ENDS IN", "CHECKS SAY")
			for _, s := range servers {
				t.row(s.Pool+"/"+s.Name, s.Verdict, strconv.Itoa(s.Weight), overrideText(*s.Override), a.ago(s.Override.Since),
					a.left(s.Override.Until), ownText(s))
			}
			return writeText(a.Stdout, t.String())
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	})
	c.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// overrideText is what was said of a server: "up with 50 % of its weight".
func overrideText(o api.ServerOverride) string {
	if o.Weight > 0 {
		return o.Mode + " with " + percentText(o.Weight) + " of its weight"
	}
	return o.Mode
}

// ownText is the verdict of the checks of a server.
func ownText(s api.Server) string {
	if s.Own != "" {
		return s.Own
	}
	return s.Verdict
}

// left is the time until then, of what ends.
func (a *app) left(then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	return max(then.Sub(a.Now()), 0).Truncate(time.Second).String()
}

// completeServers offers the servers that are not named yet.
func (a *app) completeServers(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(a.serverNames(c.Context()), func(name string) bool { return slices.Contains(args, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}
