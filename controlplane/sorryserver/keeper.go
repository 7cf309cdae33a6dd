// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// Keeper keeps a process that serves what is wanted: it starts one anew when what
// is wanted changes or when the process has died. The one before ends when its
// clients have their answers. It opens the listeners itself: they outlive the
// processes, and no client is refused in between.
type Keeper struct {
	command []string
	socket  string
	log     *slog.Logger
	kick    chan struct{}

	mu   sync.Mutex
	want []Want // guarded by mu
	told string // what is not as it is wanted; guarded by mu

	// What follows is of Run, and of Stop after it.
	listeners map[netip.AddrPort]*os.File
	now       *process // nil: none
	plan      plan     // of now
	old       []*process
	before    bool // there may be a process of another daemon
}

// Want is a site with the addresses where it is served, which need not be this
// machine's.
type Want struct {
	Addrs             []netip.AddrPort
	Page              page.Image
	Certificates, Key string // PEM
}

// NewKeeper makes a keeper. Command is the program that calls Inherit, with its
// arguments; socket is where its processes tell that they serve: see Check.
func NewKeeper(command []string, socket string, log *slog.Logger) *Keeper {
	return &Keeper{
		command: command, socket: socket, log: log, kick: make(chan struct{}, 1),
		listeners: map[netip.AddrPort]*os.File{}, before: true,
	}
}

// String names the keeper among the tasks of the daemon.
func (*Keeper) String() string { return "sorry server" }

// Set says what is wanted, and returns at once.
func (k *Keeper) Set(want []Want) {
	k.mu.Lock()
	k.want = want
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default: // it will see this as well
	}
}

// The times between a failure and the next try; a process that has lived for long
// begins with the first.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	long       = 10 * time.Second
)

// Run keeps the process until ctx ends, and leaves it behind: it serves while there
// is no daemon, and ends when the next one has started its own.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.leave()
	pause, set := firstPause, false
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	asks, silent := time.NewTicker(askPeriod), 0
	defer asks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.kick:
			set = true
		case <-asks.C:
			if silent = k.silence(ctx, silent); silent == patience {
				k.log.Error("the sorry server does not answer, it is ended", "pid", k.now.cmd.Process.Pid)
				_ = k.now.cmd.Process.Kill() // it may have ended
				silent = 0
			}
			continue
		case <-retry.C:
		case <-k.ended():
			k.log.Error("the sorry server has died, another one is started", "pid", k.now.cmd.Process.Pid)
			if time.Since(k.now.begun) > long {
				pause = firstPause
			}
			_ = k.now.says.Close() // was read to its end
			k.now = nil
			retry.Reset(pause)
			pause = min(2*pause, lastPause)
			continue
		}
		if !set {
			continue
		}
		err := k.renew(ctx)
		if ctx.Err() == nil {
			k.tell(err)
		}
		if err != nil {
			retry.Reset(pause)
			pause = min(2*pause, lastPause)
		}
	}
}

// A process that lets so many questions in a row, one each period, pass unanswered
// hangs.
const (
	askPeriod = 2 * time.Second
	patience  = 5
)

// silence counts the questions in a row that the process has let pass.
func (k *Keeper) silence(ctx context.Context, before int) int {
	if k.now == nil {
		return 0
	}
	c, err := call(ctx, k.socket)
	if err == nil {
		_ = c.Close() // it has said what we want to know
		return 0
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) { // want of descriptors, or a socket that is gone
		return before
	}
	return before + 1
}

// ended is closed when the process has; nil where there is none.
func (k *Keeper) ended() <-chan struct{} {
	if k.now == nil {
		return nil
	}
	return k.now.ended
}

// tell logs an error once, as long as it lasts.
func (k *Keeper) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if text != "" && text != k.told {
		k.log.Error("the sorry server is not as it is wanted, it will be tried again", "error", err)
	}
	k.told = text
}

// Trouble is what is not as it is wanted; empty: nothing.
func (k *Keeper) Trouble() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.told
}

// renew has a process that serves what is wanted.
func (k *Keeper) renew(ctx context.Context) error {
	k.mu.Lock()
	want := k.want
	k.mu.Unlock()
	next, files, unbound := k.open(want)
	k.sweep()
	switch {
	case k.now != nil && next.equal(k.plan):
		return unbound
	case len(next.Sites) == 0:
		k.replace(nil, "")
		k.close(want)
		return unbound
	}
	path := k.socket + ".new"
	door, err := openDoor(path)
	if err != nil {
		return errors.Join(err, unbound)
	}
	defer door.close()
	proc, err := spawn(ctx, k.command, next, append([]*os.File{door.control, door.place}, files...), k.log)
	if err != nil {
		return errors.Join(err, os.Remove(path), unbound)
	}
	k.replace(proc, path)
	k.plan = next
	k.close(want)
	k.log.Info("the sorry server serves", "pid", proc.cmd.Process.Pid, "listeners", len(files))
	return unbound
}

// open opens the listeners that are missing, and makes the plan of those that can
// be had.
func (k *Keeper) open(want []Want) (next plan, files []*os.File, err error) {
	var errs []error
	for _, w := range want {
		w.Page.Sums = nil // are the kernel's
		one := planned{Page: w.Page, Certificates: w.Certificates, Key: w.Key}
		for _, addr := range w.Addrs {
			file, there := k.listeners[addr]
			if !there {
				var err error
				if file, err = listen(addr); err != nil {
					errs = append(errs, err)
					continue
				}
				k.listeners[addr] = file
			}
			files = append(files, file)
			one.Addrs = append(one.Addrs, addr)
		}
		if len(one.Addrs) > 0 {
			next.Sites = append(next.Sites, one)
		}
	}
	return next, files, errors.Join(errs...)
}

// close closes the listeners that are not wanted any more.
func (k *Keeper) close(want []Want) {
	for addr, file := range k.listeners {
		if !slices.ContainsFunc(want, func(w Want) bool { return slices.Contains(w.Addrs, addr) }) {
			_ = file.Close() // nothing was written
			delete(k.listeners, addr)
		}
	}
}

// replace puts a process in the place of the one before, which may be that of a
// daemon before this one; nil: nobody is to serve.
func (k *Keeper) replace(proc *process, path string) {
	var stranger net.Conn
	if k.before {
		stranger, _ = call(context.Background(), k.socket) // there may be none
	}
	k.before = false
	if proc != nil {
		if err := os.Rename(path, k.socket); err != nil {
			k.log.Error("the sorry server can't be asked", "error", err)
		}
	} else if err := os.Remove(k.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		k.log.Error("the socket of the sorry server stays", "error", err)
	}
	if stranger != nil {
		_, _ = stranger.Write([]byte{sayEnd}) // one that is gone serves nobody
		_ = stranger.Close()
	}
	if k.now != nil {
		k.now.finish()
		k.old = append(k.old, k.now)
	}
	k.now = proc
}

// sweep forgets the old processes that have ended.
func (k *Keeper) sweep() {
	k.old = slices.DeleteFunc(k.old, func(p *process) bool {
		select {
		case <-p.ended:
			_ = p.says.Close()
			return true
		default:
			return false
		}
	})
}

// leave gives back all descriptors.
func (k *Keeper) leave() {
	k.sweep()
	for _, p := range k.old {
		p.leave()
	}
	if k.now != nil {
		k.now.leave()
	}
	k.close(nil)
}

// Stop ends what Run has left behind, when its clients have their answers or ctx
// ends. A process that may not be told to ends by itself: its socket is gone.
func (k *Keeper) Stop(ctx context.Context) error {
	left := k.old
	var errs []error
	if k.now != nil {
		left = append(left, k.now)
		if err := os.Remove(k.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove the socket of the sorry server: %w", err))
		}
	}
	for _, p := range left {
		errs = append(errs, p.stop(ctx))
	}
	k.old, k.now = nil, nil
	return errors.Join(errs...)
}
