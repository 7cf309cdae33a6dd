// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
)

func (a *app) page() *cobra.Command {
	c := &cobra.Command{Use: "page", Short: "Look at sorry pages"}
	c.AddCommand(a.pageShow(), a.pageList())
	return c
}

// pageView is what of a page is to be shown.
type pageView struct {
	raw      bool
	service  string
	host     string
	encoding []string
	tls      bool
}

func (a *app) pageShow() *cobra.Command {
	var view pageView
	c := &cobra.Command{
		Use:   "show PAGE",
		Short: "Show a page of the configuration as the kernel will send it",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return errors.New("name one page" + a.somePages())
		},
		ValidArgsFunction: a.completePage,
		RunE: does(func(_ context.Context, args []string) error {
			cfg, err := a.loadConfig(a.configFile())
			if err != nil {
				return err
			}
			p, ok := cfg.Page(args[0])
			if !ok {
				return misused(fmt.Errorf("%s has no page %q%s: it has %s", a.configFile(), args[0],
					config.DidYouMean(args[0], pageNames(cfg)), strings.Join(pageNames(cfg), ", ")))
			}
			return a.showPage(cfg, p, view)
		}),
	}
	flags := c.Flags()
	flags.BoolVar(&view.raw, "raw", false, "print the bytes that are sent and nothing else")
	flags.StringVar(&view.service, "service", "", "the service that shows the page")
	flags.StringVar(&view.host, "host", "", "what a client asks that host for")
	flags.StringSliceVar(&view.encoding, "encoding", nil, "what a client gets that takes gzip, br or both")
	flags.BoolVar(&view.tls, "tls", false, "what a client gets that speaks TLS")
	return c
}

func (a *app) showPage(cfg *config.Config, p config.Page, view pageView) error {
	image, err := imageFor(cfg, p, view.service)
	if err != nil {
		return misused(err)
	}
	client := page.Client{Host: view.host}
	for _, name := range view.encoding {
		coding := page.Coding(name)
		if coding != page.CodingGzip && coding != page.CodingBrotli {
			return misused(fmt.Errorf("a page has no encoding %q: gzip or br", name))
		}
		client.Codings = append(client.Codings, coding)
	}
	if view.tls {
		client.Opening = page.OpeningTLS
	}
	chosen, variant := image.Choose(client)
	if n := len(chosen.Response); n > config.LongPage {
		complain(a.Env, "note: %d bytes are many: above %d a page takes long where packets are lost, and some clients give up\n", n, config.LongPage)
	}
	if view.raw {
		_, err = a.Stdout.Write(chosen.Response)
		return err
	}
	_, err = fmt.Fprint(a.Stdout, describe(p, image, chosen, variant))
	return err
}

// imageFor is the page as a service shows it.
func imageFor(cfg *config.Config, p config.Page, service string) (page.Image, error) {
	var names []string
	for _, s := range cfg.Services {
		if s.Given() == service || s.Name == service {
			return p.For(s), nil
		}
		if !slices.Contains(names, s.Given()) {
			names = append(names, s.Given())
		}
	}
	switch {
	case service != "":
		return page.Image{}, fmt.Errorf("there is no service %q%s: there are %s", service,
			config.DidYouMean(service, names), strings.Join(names, ", "))
	case p.PerService():
		return page.Image{}, fmt.Errorf("page %q is another for each service: say which with --service: %s", p.Name, strings.Join(names, ", "))
	}
	return p.Image, nil
}

func (a *app) pageList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the pages of the configuration, and what they cost in the kernel",
		Args:  cobra.NoArgs,
		RunE: does(func(context.Context, []string) error {
			cfg, err := a.loadConfig(a.configFile())
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.Stdout, pageTable(cfg.Pages))
			return err
		}),
	}
}

// pageNames are one at least: there is always a default page.
func pageNames(cfg *config.Config) []string {
	var names []string
	for _, p := range cfg.Pages {
		names = append(names, p.Name)
	}
	return names
}

// somePages lists the pages that could be meant, if the configuration tells.
func (a *app) somePages() string {
	cfg, err := config.Load(a.configFile())
	if err != nil {
		return ""
	}
	return ": " + strings.Join(pageNames(cfg), ", ")
}
