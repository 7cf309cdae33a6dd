// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"log/slog"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/sorryserver"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// local is the sorry server of this machine.
type local interface {
	Set(sites []sorryserver.Want) // returns at once
	Trouble() string              // what is not as it is wanted; empty: nothing
}

// sorryCommand is this program as the sorry server of this machine, whatever has
// become of its file.
func sorryCommand() []string { return []string{"/proc/self/exe", "sorry-server", "--inherit"} }

func newKeeper(cfg *config.Config, log *slog.Logger) *sorryserver.Keeper {
	return sorryserver.NewKeeper(sorryCommand(), cfg.Admin.SorrySocket(), log)
}

// localSites are what this machine serves itself: each service at its own
// addresses, with its own page, or that which an operator has named.
func localSites(s state.State) []sorryserver.Want {
	var sites []sorryserver.Want
	for _, c := range s.Config.Services {
		shown, ok := localPage(s, c)
		if !c.Local() || !ok {
			continue
		}
		site := sorryserver.Want{Page: shown.For(c), Certificates: c.Sorry.TLS.Certificates, Key: string(c.Sorry.TLS.Key)}
		for _, v := range c.Virtuals() {
			site.Addrs = append(site.Addrs, v.Addr)
		}
		sites = append(sites, site)
	}
	return sites
}

// localPage is the page of a service that can be shown inside TLS.
func localPage(s state.State, c config.Service) (config.Page, bool) {
	if o := s.Services[c.Name].Override; o.Mode == state.OverrideOn {
		if p, ok := s.Config.Page(o.Page); ok && p.Image.Speech == page.SpeechHTTP {
			return p, true
		}
	}
	return s.Config.Page(c.Sorry.Page)
}

// withdrawal takes programs out of the kernel, and then ends the sorry server of
// this machine, which nobody is sent to any more.
func withdrawal(programs func() error, k *sorryserver.Keeper) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), withdrawTimeout)
		defer cancel()
		return errors.Join(programs(), k.Stop(ctx))
	}
}
