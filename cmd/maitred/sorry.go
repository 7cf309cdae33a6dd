// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

func (a *app) sorry() *cobra.Command {
	c := &cobra.Command{
		Use:   "sorry",
		Short: "Show a page to the clients of a service, or to a part of them, whatever its servers do",
		Long: `Show a page to the clients of a service, or to a part of them, whatever its servers
do. What is said holds at once, over reloads and restarts, until it is taken back.

Services are named as in the configuration; 'shop-*' means all that begin so, --all
means all. A command is done when the kernel has it. Exit code 3: the kernel does not
agree yet, the daemon goes on trying.`,
	}
	c.AddCommand(
		a.word("on", "Say sorry: a page is shown to new clients", true),
		a.word("off", "Serve, even with no server up", false),
		a.word("auto", "Take back what was said: servers and load decide", false),
		a.shed(), a.sorryStatus(),
	)
	return c
}

// word is a command that says a mode.
func (a *app) word(mode, short string, paged bool) *cobra.Command {
	w := api.Word{Mode: mode}
	c := a.withSocket(&cobra.Command{
		Use:   mode + " SERVICE...",
		Short: short,
		Args:  func(c *cobra.Command, args []string) error { return someServices(c, w.All, args) },
		RunE: does(func(ctx context.Context, args []string) error {
			w.Services = args
			return a.say(ctx, w)
		}),
		ValidArgsFunction: a.completeServices(0),
	})
	a.wordFlags(c, &w, paged)
	return c
}

func (a *app) shed() *cobra.Command {
	w := api.Word{Mode: "shed"}
	c := a.withSocket(&cobra.Command{
		Use:   "shed PART SERVICE...",
		Short: "Turn a part of the new clients away, as in 20%",
		Args: func(c *cobra.Command, args []string) (err error) {
			if len(args) == 0 {
				return fmt.Errorf("%s takes the part of the new clients that is turned away, as in 20%%", c.CommandPath())
			}
			if w.Fraction, err = config.ParseFraction(args[0]); err != nil {
				return err
			}
			return someServices(c, w.All, args[1:])
		},
		RunE: does(func(ctx context.Context, args []string) error {
			w.Services = args[1:]
			return a.say(ctx, w)
		}),
		ValidArgsFunction: a.completeServices(1),
	})
	a.wordFlags(c, &w, true)
	return c
}

func (a *app) wordFlags(c *cobra.Command, w *api.Word, paged bool) {
	c.Flags().BoolVar(&w.All, "all", false, "all services")
	if !paged {
		return
	}
	c.Flags().StringVar(&w.Page, "page", "", "the `page` of the configuration to show, in place of the service's")
	_ = c.RegisterFlagCompletionFunc("page", a.completePages) // fails for flags that there are not
}

func someServices(c *cobra.Command, all bool, args []string) error {
	switch {
	case all && len(args) > 0:
		return fmt.Errorf("--all means all services, %q among them: leave one of the two out", args[0])
	case !all && len(args) == 0:
		return fmt.Errorf("%s takes names of services, or --all", c.CommandPath())
	}
	return nil
}

// say has the daemon do it, and tells what has come of it.
func (a *app) say(ctx context.Context, w api.Word) error {
	said, err := a.client().Sorry(ctx, w)
	if err != nil {
		return usage(remedy(err))
	}
	for _, s := range said.Services {
		if err := writeText(a.Stdout, a.saidText(s, len(said.Kernel) == 0)+"\n"); err != nil {
			return err
		}
	}
	for _, l := range said.Left {
		if err := writeText(a.Stdout, l.Name+": left as it is: "+l.Reason+"\n"); err != nil {
			return err
		}
	}
	if len(said.Kernel) > 0 {
		return &failure{code: exitNotSeen, err: fmt.Errorf(
			"it is decided, but the kernel does not agree yet: %s: see maitred status", strings.Join(said.Kernel, "; "))}
	}
	return nil
}

// saidText is how a service is now.
func (a *app) saidText(s api.SaidOf, inForce bool) string {
	text := s.Name + ": " + a.paint(s.Mode)
	switch {
	case s.Mode != "sorry" && s.Mode != "shed":
	case s.Page != "":
		text += " with page " + s.Page
	case s.Mode == "sorry":
		text += " without a page, so that clients are refused: --page names one"
	}
	switch {
	case s.Mode == "pending":
		text += ", the kernel goes on as before"
	case inForce:
		text += ", in force"
	}
	if !s.Changed {
		text += ", as was said before"
	}
	return text + ": " + s.Reason
}

func (a *app) sorryStatus() *cobra.Command {
	var output string
	c := a.withSocket(&cobra.Command{
		Use:   "status",
		Short: "Tell what was said of services, and which of them turn clients away",
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
			services := slices.DeleteFunc(st.Services, func(s api.Service) bool { return s.Override == nil && s.Mode != "shed" })
			if output == "json" {
				return printJSON(a.Stdout, services)
			}
			if len(services) == 0 {
				return writeText(a.Stdout, "nothing was said: servers and load decide on all services\n")
			}
			return writeText(a.Stdout, a.saidTable(services))
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	})
	c.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) saidTable(services []api.Service) string {
	t := a.table("SERVICE", "MODE", "SAID", "SINCE", "PAGE", "SHEDS", "TURNED AWAY", "ADMITTED", "REASON")
	for _, s := range services {
		row := []string{s.Name, s.Mode, "auto", a.ago(s.Since), dash(s.Page), "-", "-", "-", s.Reason}
		if s.Override != nil {
			row[2], row[3] = s.Override.Mode, a.ago(s.Override.Since)
		}
		if s.Shed != nil {
			row[5] = percentText(s.Shed.Fraction)
			row[6], row[7] = strconv.FormatUint(s.Shed.TurnedAway, 10), strconv.FormatUint(s.Shed.Admitted, 10)
		}
		t.row(row...)
	}
	return t.String()
}

// percentText is a part of the whole: 12.5 %.
func percentText(part float64) string { return strconv.FormatFloat(part*100, 'g', 4, 64) + " %" }

// completeServices offers the names of the services, as the configuration has them,
// after so many other arguments.
func (a *app) completeServices(after int) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) < after {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, name := range a.serviceNames(c.Context()) {
			given, _, _ := strings.Cut(name, "/")
			if !slices.Contains(names, given) && !slices.Contains(args, given) {
				names = append(names, given)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completePages offers the pages of the configuration.
func (a *app) completePages(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cfg, err := config.Load(a.configFile())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return pageNames(cfg), cobra.ShellCompDirectiveNoFileComp
}
