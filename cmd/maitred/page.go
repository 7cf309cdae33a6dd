// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/config"
)

func (a *app) page() *cobra.Command {
	c := &cobra.Command{Use: "page", Short: "Look at sorry pages"}
	raw := false
	show := &cobra.Command{
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
				return fmt.Errorf("%s has no page %q%s: it has %s", a.configFile(), args[0],
					config.DidYouMean(args[0], pageNames(cfg)), strings.Join(pageNames(cfg), ", "))
			}
			if n := len(p.Image.Response); n > config.LongPage {
				complain(a.Env, "note: %d bytes are many: above %d a page takes long where packets are lost, and some clients give up\n", n, config.LongPage)
			}
			if raw {
				_, err = a.Stdout.Write(p.Image.Response)
				return err
			}
			_, err = fmt.Fprint(a.Stdout, describe(p))
			return err
		}),
	}
	show.Flags().BoolVar(&raw, "http", false, "print the bytes of the response and nothing else")
	c.AddCommand(show)
	return c
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

// describe shows the header and says how the kernel will cut and sum the page.
func describe(p config.Page) string {
	var b strings.Builder
	head, length := p.Image.Head, len(p.Image.Response)
	for line := range strings.SplitSeq(strings.TrimSpace(string(p.Image.Response[:head])), "\r\n") {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	fmt.Fprintf(&b, "\n%s: %d bytes, %d of header and %d of body, digest %016x\n",
		p.Name, length, head, length-head, p.Image.Digest)
	fmt.Fprintf(&b, "%d running sums, Internet checksum of the whole 0x%04x\n\n",
		len(p.Image.Sums), ^p.Image.Sum(0, length))
	table := newTable("PAYLOAD", "SEGMENTS", "LAST")
	for _, size := range segmentSizes() {
		n := (length + size - 1) / size
		table.row(strconv.Itoa(size), strconv.Itoa(n), strconv.Itoa(length-(n-1)*size))
	}
	return b.String() + table.String()
}

// segmentSizes are the payloads that a segment may have, in bytes: the kernel
// takes the largest that the client's MSS allows (bpf/include/cookie.h).
func segmentSizes() []int { return []int{536, 1220, 1360, 1440} }
