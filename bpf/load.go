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

// Engine is what runs in the kernel: the programs and their maps, pinned under one
// folder of a BPF file system, where they outlive this process.
type Engine struct {
	DirectorObjects
	// Fleeting tells that what is pinned ends with this process: see prepare.
	Fleeting bool

	dir  string
	lock *os.File      // of dir
	page *ebpf.MapSpec // of the inner maps
	ring *ebpf.MapSpec

	mu    sync.Mutex
	noXDP map[string]error // by interface, of the last Attach; guarded by mu
}

// ErrLocked is returned while another process has the folder.
var ErrLocked = errors.New("another process works with what is pinned here")

// Load adopts the maps that are pinned under dir, or makes them, and loads the
// programs of this build. Programs that are attached already go on running
// until Attach replaces them, with the tables that they began with: one of another
// size takes the place of the former with all that is in it. dir is made if need be, and the BPF file system
// mounted where it is not; it must hold nothing of anybody else, and no other
// process may have it loaded.
func Load(dir string, sizes Sizes) (*Engine, error) {
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
	e := &Engine{
		Fleeting: fleeting, dir: dir, lock: lock,
		page: spec.Maps[DirectorMapPages].InnerMap.Copy(), ring: spec.Maps[DirectorMapRings].InnerMap.Copy(),
		noXDP: map[string]error{},
	}
	e.page.Name, e.ring.Name = "page", "ring"
	sizes.apply(spec)
	if err := e.load(spec); err != nil {
		return nil, errors.Join(explain(dir, err), lock.Close())
	}
	if err := e.pinPrograms(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) load(spec *ebpf.CollectionSpec) error {
	for _, name := range pinned(spec) {
		spec.Maps[name].Pinning = ebpf.PinByName
	}
	if err := resize(e.dir, spec); err != nil {
		return err
	}
	opts := &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: e.dir}}
	return spec.LoadAndAssign(&e.DirectorObjects, opts)
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

// ringPart is RING_PART of bpf/include/types.h.
const ringPart = 4

// NewRing makes the inner map of a ring, by the rows of the servers in its slots.
// The caller closes it.
func (e *Engine) NewRing(slots []uint16) (*ebpf.Map, error) {
	parts := make([][ringPart]uint16, (len(slots)+ringPart-1)/ringPart)
	keys := make([]uint32, len(parts))
	for i := range parts {
		keys[i] = uint32(i)
		copy(parts[i][:], slots[i*ringPart:])
	}
	spec := e.ring.Copy()
	spec.MaxEntries = uint32(len(parts))
	inner, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("make a ring map: %w", err)
	}
	if _, err := inner.BatchUpdate(keys, parts, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("fill a ring map: %w", err), inner.Close())
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
	if err := e.DetachProbe(); err != nil {
		return err
	}
	spec, err := LoadDirector()
	if err != nil {
		return fmt.Errorf("read the programs of this build: %w", err)
	}
	for _, name := range own(spec) {
		if err := os.Remove(filepath.Join(e.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("unpin what is in the kernel: %w", err)
		}
	}
	// A folder that was made for this user stays, empty.
	if err := os.Remove(e.dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("unpin what is in the kernel: %w", err)
	}
	return nil
}

// A program is pinned under its name so that an operator finds it there. What
// runs is decided by the links, so that there need be no atomic swap here.
func (e *Engine) pinPrograms() error {
	for name, p := range map[string]*ebpf.Program{
		DirectorProgMaitredXdp:      e.MaitredXdp,
		DirectorProgMaitredXdpFrags: e.MaitredXdpFrags,
		DirectorProgMaitredTc:       e.MaitredTc,
		DirectorProgMaitredProbe:    e.MaitredProbe,
		DirectorProgMaitredPulse:    e.MaitredPulse,
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
		return fmt.Errorf("load the programs: this kernel refuses the program, which is a bug of maitred: %w", err)
	case errors.Is(err, ebpf.ErrMapIncompatible):
		return fmt.Errorf("maps under %s are of another version of maitred: stop it, remove that folder and start again: %w", dir, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("load the programs: CAP_BPF and CAP_NET_ADMIN are needed (run as root): %w", err)
	default:
		return fmt.Errorf("load the programs: %w", err)
	}
}
