// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Engine is the sorry engine in the kernel: its programs and its maps, pinned
// under one folder of a BPF file system, where they outlive this process.
type Engine struct {
	DirectorObjects
	// Fleeting tells that what is pinned ends with this process: see prepare.
	Fleeting bool

	dir  string
	lock *os.File // of dir
	page *ebpf.MapSpec

	mu    sync.Mutex
	noXDP map[string]error // by interface, of the last Attach; guarded by mu
}

// ErrLocked is returned while another process has the folder.
var ErrLocked = errors.New("another process works with what is pinned here")

// Load adopts the maps that are pinned under dir, or makes them, and loads the
// programs of this build. Programs that are attached already go on running
// until Attach replaces them. dir is made if need be, and the BPF file system
// mounted where it is not; it must hold nothing of anybody else, and no other
// process may have it loaded.
func Load(dir string, _ Sizes) (*Engine, error) {
	spec, err := LoadDirector()
	if err != nil {
		return nil, fmt.Errorf("read the programs of this build: %w", err)
	}
	fleeting, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	if err := checkOwn(dir, spec); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinByName
	}
	e := &Engine{Fleeting: fleeting, dir: dir, lock: lock, page: spec.Maps["pages"].InnerMap.Copy(), noXDP: map[string]error{}}
	e.page.Name = "page"
	opts := &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: dir}}
	if err := spec.LoadAndAssign(&e.DirectorObjects, opts); err != nil {
		return nil, errors.Join(explain(dir, err), lock.Close())
	}
	if err := e.pinPrograms(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Close gives the descriptors and the lock back. All that is pinned stays.
func (e *Engine) Close() error {
	return errors.Join(e.DirectorObjects.Close(), e.lock.Close())
}

// NewPage makes the inner map that holds one page, not yet in any slot. The
// caller closes it.
func (e *Engine) NewPage(content *DirectorPage) (*ebpf.Map, error) {
	inner, err := ebpf.NewMap(e.page)
	if err != nil {
		return nil, fmt.Errorf("make a page map: %w", err)
	}
	if err := inner.Put(uint32(0), content); err != nil {
		return nil, errors.Join(fmt.Errorf("fill a page map: %w", err), inner.Close())
	}
	return inner, nil
}

// Withdraw detaches the programs and unpins everything: the kernel then
// forgets all of it once the last descriptor is closed.
func (e *Engine) Withdraw() error {
	names, err := e.pinnedInterfaces()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := e.Detach(name); err != nil {
			return err
		}
	}
	spec, err := LoadDirector()
	if err != nil {
		return fmt.Errorf("read the programs of this build: %w", err)
	}
	for _, name := range own(spec) {
		if err := os.Remove(filepath.Join(e.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("unpin the sorry engine: %w", err)
		}
	}
	// A folder that was made for this user stays, empty.
	if err := os.Remove(e.dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("unpin the sorry engine: %w", err)
	}
	return nil
}

// A program is pinned under its name so that an operator finds it there. What
// runs is decided by the links, so that there need be no atomic swap here.
func (e *Engine) pinPrograms() error {
	for name, p := range map[string]*ebpf.Program{
		"maitred_xdp": e.MaitredXdp,
		"maitred_tc":  e.MaitredTc,
	} {
		if err := repin(p, filepath.Join(e.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// repin pins a copy: a Program remembers its pin, and would move it instead of
// making another.
func repin(p *ebpf.Program, path string) error {
	p, err := p.Clone()
	if err != nil {
		return fmt.Errorf("pin a program: %w", err)
	}
	defer p.Close()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin the program before: %w", err)
	}
	if err := p.Pin(path); err != nil {
		return fmt.Errorf("pin a program: %w", err)
	}
	return nil
}

func explain(dir string, err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier):
		return fmt.Errorf("load the sorry engine: this kernel refuses the program, which is a bug of maitred: %w", err)
	case errors.Is(err, ebpf.ErrMapIncompatible):
		return fmt.Errorf("maps under %s are of another version of maitred: stop it, remove that folder and start again: %w", dir, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("load the sorry engine: CAP_BPF and CAP_NET_ADMIN are needed (run as root): %w", err)
	default:
		return fmt.Errorf("load the sorry engine: %w", err)
	}
}
