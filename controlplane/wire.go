// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/maps"
)

// ledgerFile, beside the socket, holds what in the kernel is ours. It is named
// after the folder of pins, which is one daemon's alone.
func ledgerFile(cfg *config.Config) string {
	name := "owned" + strings.ReplaceAll(cfg.Director.PinPath, "/", "-") + ".json"
	return filepath.Join(filepath.Dir(cfg.Admin.Socket), name)
}

// Wire makes the parts that act on this machine: it adopts what is pinned, and
// opens what the configuration needs.
func Wire(cfg *config.Config, in Inputs) (p Parts, err error) {
	var opened closers
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.Close())
		}
	}()
	sorry, err := maps.Open(cfg.Director.PinPath, maps.Options{})
	if err != nil {
		return p, err
	}
	opened.add(sorry)
	if sorry.Fleeting() {
		in.Logger.Warn("nothing in the kernel will outlive this daemon: its BPF file system is mounted in a mount namespace of its own, as under ip netns exec; mount it on the machine: mount -t bpf bpf /sys/fs/bpf")
	}
	interfaces, err := reconcile.OpenInterfaces()
	if err != nil {
		return p, err
	}
	opened.add(interfaces)
	ledger, err := reconcile.OpenLedger(ledgerFile(cfg))
	if err != nil {
		in.Logger.Warn("only what the configuration names is known to be ours", "error", err)
	}
	targets := []reconcile.Target{
		reconcile.NewSorry(sorry, sorry),
		reconcile.NewAttachments(sorry),
		reconcile.NewAddresses(interfaces, ledger),
	}
	ipvs, err := openIPVS(cfg.Director.Forwarding, ledger, in.Logger)
	if err != nil {
		return p, err
	}
	if ipvs != nil {
		opened.add(ipvs)
		targets = append(targets, reconcile.NewVirtuals(ipvs, ipvs, ledger),
			reconcile.NewSettings(reconcile.IPVSSysctls, ledger))
	}
	return Parts{
		Prober: prober{checkers.NewScheduler(checkers.Options{
			Seed: cfg.Director.Name, OnTransition: in.Probed,
		})},
		Engine: engine{
			Engine: reconcile.New(reconcile.Options{
				Targets: targets, Logger: in.Logger, Resync: cfg.Director.Resync,
				OnRepair:  func(d reconcile.Drift) { in.Repaired(d.Target, d.What) },
				OnTrouble: func(t reconcile.Trouble) { in.Troubled(t.Target, t.Before, t.Now) },
			}),
			env: reconcile.Env{IPVS: ipvs != nil},
		},
		Datapath: datapath{sorry},
		Links: func(ctx context.Context, changed func()) error {
			return reconcile.NewLinkWatcher(changed, in.Logger).Run(ctx)
		},
		Withdraw: sorry.Withdraw,
		Close:    opened.Close,
	}, nil
}

// openIPVS returns nil where IPVS is not to be had and need not be. Without
// forwarding it is still needed for what an earlier configuration left there.
func openIPVS(f config.Forwarding, ledger *reconcile.Ledger, log *slog.Logger) (*reconcile.IPVS, error) {
	if f == config.ForwardingNone && !ledger.Forwards() {
		return nil, nil
	}
	ipvs, err := reconcile.OpenIPVS()
	switch {
	case err == nil:
		return ipvs, nil
	case f == config.ForwardingNone && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case f == config.ForwardingAuto && errors.Is(err, fs.ErrNotExist):
		log.Warn("this kernel has no IPVS: services are checked and say sorry, but nothing is forwarded", "error", err)
		return nil, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this kernel has no IPVS, and forwarding is ipvs: load the module ip_vs, or set auto or none: %w", err)
	}
	return nil, fmt.Errorf("%w: maitred doctor tells what is missing", err)
}

// closers are closed in the reverse of the order in which they were opened.
type closers []io.Closer

func (c *closers) add(one io.Closer) { *c = append(*c, one) }

// Close closes all, whatever fails.
func (c *closers) Close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i].Close())
	}
	return errors.Join(errs...)
}
