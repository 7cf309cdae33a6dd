// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// noteMTU tells the programs how long a packet on the interface may be, and
// forgets interfaces that are gone.
func (e *Engine) noteMTU(attrs *netlink.LinkAttrs) error {
	if err := e.forgetGone(); err != nil {
		return err
	}
	if err := e.Interfaces.Put(uint32(attrs.Index), SorryInterface{Mtu: uint32(attrs.MTU)}); err != nil {
		return fmt.Errorf("note the MTU of %s: %w", attrs.Name, err)
	}
	return nil
}

func (e *Engine) knowsMTU(attrs *netlink.LinkAttrs) bool {
	var noted SorryInterface
	err := e.Interfaces.Lookup(uint32(attrs.Index), &noted)
	return err == nil && noted.Mtu == uint32(attrs.MTU)
}

func (e *Engine) forgetGone() error {
	var index uint32
	var gone []uint32
	var notFound netlink.LinkNotFoundError
	entries := e.Interfaces.Iterate()
	for entries.Next(&index, new(SorryInterface)) {
		if _, err := netlink.LinkByIndex(int(index)); errors.As(err, &notFound) {
			gone = append(gone, index)
		}
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	for _, index := range gone {
		if err := e.Interfaces.Delete(index); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget interface %d: %w", index, err)
		}
	}
	return nil
}
