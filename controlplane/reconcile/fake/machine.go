// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"fmt"
	"maps"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
	kernel "github.com/maitred-lb/maitred/maps"
)

// Addresses implements reconcile.AddressTable.
func (k *Kernel) Addresses() ([]reconcile.Address, error) {
	return read(k, "read addresses", func() []reconcile.Address { return slices.Collect(maps.Keys(k.AddrTable)) })
}

// AddAddress implements reconcile.AddressTable.
func (k *Kernel) AddAddress(a reconcile.Address) error {
	return k.change(func() error {
		if _, there := k.Links[a.Interface]; !there {
			return fmt.Errorf("no interface %s", a.Interface)
		}
		k.AddrTable[a] = true
		return nil
	}, "add address %s", a)
}

// RemoveAddress implements reconcile.AddressTable.
func (k *Kernel) RemoveAddress(a reconcile.Address) error {
	return k.change(func() error {
		delete(k.AddrTable, a)
		return nil
	}, "remove address %s", a)
}

// Running implements reconcile.Announcer.
func (k *Kernel) Running() (map[string]int, error) {
	return read(k, "read links", func() map[string]int {
		running := maps.Clone(k.Links)
		maps.DeleteFunc(running, func(name string, _ int) bool { return k.Silent[name] })
		return running
	})
}

// Announce implements reconcile.Announcer. It changes nothing but what neighbours
// know.
func (k *Kernel) Announce(a reconcile.Address) error {
	_, err := read(k, "announce "+a.String(), func() struct{} {
		k.Announced = append(k.Announced, a)
		return struct{}{}
	})
	return err
}

// RemoveLink takes an interface away, with all that is on it.
func (k *Kernel) RemoveLink(name string) {
	k.With(func() {
		delete(k.Links, name)
		for a := range k.AddrTable {
			if a.Interface == name {
				delete(k.AddrTable, a)
			}
		}
		if _, there := k.Engines[name]; there {
			k.Engines[name] = kernel.Attachment{Interface: name}
		}
	})
}

// AddLink brings an interface.
func (k *Kernel) AddLink(name string, index int) { k.With(func() { k.Links[name] = index }) }

// Attached implements reconcile.Attacher.
func (k *Kernel) Attached() ([]kernel.Attachment, error) {
	return read(k, "read attachments", func() []kernel.Attachment { return slices.Collect(maps.Values(k.Engines)) })
}

// Attach implements reconcile.Attacher for a driver without XDP.
func (k *Kernel) Attach(name string, mode kernel.AttachMode) (kernel.Attachment, error) {
	var a kernel.Attachment
	err := k.change(func() error {
		index, there := k.Links[name]
		if !there {
			return fmt.Errorf("no interface %s", name)
		}
		if mode == kernel.AttachXDP {
			return fmt.Errorf("%s has no XDP", name)
		}
		a = kernel.Attachment{Interface: name, Index: index, TC: true}
		k.Engines[name] = a
		return nil
	}, "attach to %s", name)
	return a, err
}

// Detach implements reconcile.Attacher.
func (k *Kernel) Detach(name string) error {
	return k.change(func() error {
		delete(k.Engines, name)
		return nil
	}, "detach from %s", name)
}

// Get implements reconcile.Knobs.
func (k *Kernel) Get(name string) (string, bool, error) {
	type found struct {
		value string
		ok    bool
	}
	f, err := read(k, "read knob "+name, func() found {
		value, ok := k.KnobTable[name]
		return found{value, ok}
	})
	return f.value, f.ok, err
}

// Set implements reconcile.Knobs.
func (k *Kernel) Set(name, value string) error {
	return k.change(func() error {
		k.KnobTable[name] = value
		return nil
	}, "set knob %s to %s", name, value)
}
