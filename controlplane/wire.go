// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
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
	w := wiring{cfg: cfg, in: in}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.opened.Close())
		}
	}()
	ledger, err := reconcile.OpenLedger(ledgerFile(cfg))
	if err != nil {
		in.Logger.Warn("only what the configuration names is known to be ours", "error", err)
	}
	if err := w.choose(ledger); err != nil {
		return p, err
	}
	if err := w.open(); err != nil {
		return p, err
	}
	targets, err := w.targets(ledger)
	if err != nil {
		return p, err
	}
	keeper := newKeeper(cfg, in.Logger)
	e := &engine{
		Engine: reconcile.New(reconcile.Options{
			Targets: targets, Logger: in.Logger, Resync: cfg.Director.Resync,
			OnRepair:  func(d reconcile.Drift) { in.Repaired(d.Target, d.What) },
			OnTrouble: func(t reconcile.Trouble) { in.Troubled(t.Target, t.Before, t.Now) },
		}),
		by: w.by, note: w.note, log: in.Logger, local: keeper,
	}
	p = Parts{
		Prober: prober{checkers.NewScheduler(checkers.Options{
			Seed: cfg.Director.Name, OnTransition: in.Probed,
			OnPanic: func(key checkers.Key, what any, stack []byte) {
				in.Logger.Error("a check failed by itself: it is a defect, please report it", "probe", key.String(), "what", what, "stack", string(stack))
			},
		})},
		Engine:   e,
		Datapath: datapath{w.maps},
		Links: func(ctx context.Context, changed func()) error {
			return reconcile.NewLinkWatcher(changed, in.Logger).Run(ctx)
		},
		Tasks:    []Task{keeper},
		Withdraw: withdrawal(w.maps.Withdraw, keeper),
		Close:    w.opened.Close,
	}
	switch w.by {
	case config.ForwardingEBPF:
		w.upkeep(&p, e)
	case config.ForwardingIPVS:
		w.find(&p, e, askedAddrs)
		p.Traffic = ipvsFlows{ipvsTable, w.ipvs}
	case config.ForwardingNone, config.ForwardingAuto:
	}
	return p, nil
}

// wiring is what the parts are made of, as it is opened.
type wiring struct {
	cfg        *config.Config
	in         Inputs
	opened     closers
	by         config.Forwarding // never auto
	note       string            // why
	ipvs       *reconcile.IPVS   // nil: there is none, or nothing to do with it
	maps       *maps.Maps
	interfaces *reconcile.Interfaces
}

// choose finds out who forwards, and whether that engine can do what is asked.
// IPVS is also needed for what an earlier configuration left there.
func (w *wiring) choose(ledger *reconcile.Ledger) error {
	wanted := w.cfg.Director.Forwarding
	var err error
	if wanted == config.ForwardingIPVS || wanted == config.ForwardingAuto || ledger.Forwards() {
		w.ipvs, err = reconcile.OpenIPVS()
	}
	if w.ipvs != nil {
		w.opened.add(w.ipvs)
	}
	if w.by, w.note, err = choice(wanted, err); err != nil {
		return err
	}
	return errors.Join(w.cfg.Refuse(w.by)...)
}

// choice tells who is to forward, and why, where ipvs is what came of opening IPVS.
func choice(wanted config.Forwarding, ipvs error) (by config.Forwarding, note string, err error) {
	none := errors.Is(ipvs, fs.ErrNotExist)
	switch {
	case none && wanted == config.ForwardingIPVS:
		return "", "", fmt.Errorf("this kernel has no IPVS, and forwarding is ipvs: load the module ip_vs, or set auto, ebpf or none: %w", ipvs)
	case ipvs != nil && !none:
		return "", "", fmt.Errorf("%w: maitred doctor tells what is missing", ipvs)
	case wanted != config.ForwardingAuto:
		return wanted, "director.forwarding says so", nil
	case none:
		return config.ForwardingEBPF, "this kernel has no IPVS", nil
	}
	return config.ForwardingIPVS, "this kernel has IPVS", nil
}

func (w *wiring) open() (err error) {
	if w.maps, err = maps.Open(w.cfg.Director.PinPath, tableSizes(w.cfg, w.by)); err != nil {
		return err
	}
	w.opened.add(w.maps)
	if w.by != config.ForwardingEBPF || len(w.cfg.Errands()) == 0 {
		// That of a process before this one would take checks of today to servers of
		// then, and no target knows of it.
		if err := w.maps.DetachProbe(); err != nil {
			return err
		}
	}
	if w.maps.Fleeting() {
		w.in.Logger.Warn("nothing in the kernel will outlive this daemon: its BPF file system is mounted in a mount namespace of its own, as under ip netns exec; mount it on the machine: mount -t bpf bpf /sys/fs/bpf")
	}
	if w.interfaces, err = reconcile.OpenInterfaces(); err != nil {
		return err
	}
	w.opened.add(w.interfaces)
	return nil
}

// targets are the parts of the kernel that are ours. An engine that does not
// forward is among them as long as something of an earlier configuration is there.
func (w *wiring) targets(ledger *reconcile.Ledger) ([]reconcile.Target, error) {
	targets := []reconcile.Target{
		reconcile.NewSorry(w.maps, w.maps),
		reconcile.NewAttachments(w.maps),
		reconcile.NewAddresses(w.interfaces, ledger),
	}
	if w.ipvs != nil {
		targets = append(targets, reconcile.NewVirtuals(w.ipvs, w.ipvs, ledger), reconcile.NewErrands(w.ipvs))
	}
	balance := reconcile.NewBalance(w.maps)
	left, err := balance.Holds(context.Background())
	if err != nil {
		return nil, fmt.Errorf("read what eBPF forwards: %w", err)
	}
	if left || w.by != config.ForwardingNone { // with IPVS it takes in answers to checks
		targets = append(targets, balance)
	}
	return append(targets, reconcile.NewSettings(reconcile.ProcSysctls, ledger)), nil
}

// upkeep is what the eBPF engine needs done for it while the daemon runs.
func (w *wiring) upkeep(p *Parts, e *engine) {
	log := w.in.Logger
	w.find(p, e, serverAddrs)
	sweeps := newSweeper(w.maps.Sweep, e.shedsByConnections, log)
	p.Traffic = ebpfFlows{flowTable{w.maps, sweeps}}
	p.Tasks = append(p.Tasks, sweeps)
	if off := notForwarding(w.cfg, os.ReadFile); len(off) > 0 {
		log.Warn("the kernel does not forward packets, and looks up no routes for eBPF then: with nat and fullnat no answer gets to a client, with dr and tun packets go by the routes that this daemon looked up",
			"set to 1", strings.Join(off, " "))
	}
}

// find has the ways to servers found, and followed as routes change.
func (w *wiring) find(p *Parts, e *engine, of func(*config.Config) []netip.Addr) {
	e.ways = newWays(w.interfaces, w.interfaces, of, w.in.Logger)
	p.Tasks = append(p.Tasks,
		task{"ways", func(ctx context.Context) error { return e.ways.run(ctx, e) }},
		reconcile.NewRouteWatcher(e.ways.look, w.in.Logger))
}

// notForwarding names the sysctls that keep bpf_fib_lookup from answering.
func notForwarding(cfg *config.Config, read func(string) ([]byte, error)) []string {
	var off []string
	families := map[bool]bool{}
	for _, a := range serverAddrs(cfg) {
		families[a.Is4()] = true
	}
	for _, knob := range []struct {
		is4  bool
		name string
	}{{true, "net/ipv4/ip_forward"}, {false, "net/ipv6/conf/all/forwarding"}} {
		text, err := read("/proc/sys/" + knob.name)
		if families[knob.is4] && err == nil && strings.TrimSpace(string(text)) == "0" {
			off = append(off, strings.ReplaceAll(knob.name, "/", "."))
		}
	}
	return off
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
