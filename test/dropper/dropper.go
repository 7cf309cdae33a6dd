// SPDX-License-Identifier: Apache-2.0

// Package dropper loses packets on purpose. It knows one device and one
// direction of it, and not what the packets carry.
package dropper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
)

// Dropper loses packets of one device in one direction.
type Dropper struct {
	state  *ebpf.Map
	filter *netlink.BpfFilter
	handle *netlink.Handle
}

// Direction is that of the packets, seen from the device.
type Direction int

// Ingress packets are lost after any XDP program of the device has seen them:
// to lose them before it, drop on Egress of the other end.
const (
	Ingress Direction = iota
	Egress
)

// Counts are packets since Attach.
type Counts struct{ Seen, Dropped uint64 }

// Attach loses packets of a device with a probability from 0 to 1. It works
// by a clsact filter, which every kernel since 4.5 has.
func Attach(n *netlab.Namespace, dev string, d Direction, probability float64) (*Dropper, error) {
	dropper := &Dropper{handle: n.Netlink()}
	if err := dropper.attach(dev, d, probability); err != nil {
		return nil, errors.Join(fmt.Errorf("attach dropper to %s in %s: %w", dev, n.Name(), err), dropper.Close())
	}
	return dropper, nil
}

func (d *Dropper) attach(dev string, direction Direction, probability float64) (err error) {
	link, err := d.handle.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("find device: %w", err)
	}
	d.state, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "dropper", Type: ebpf.Array, KeySize: 4, ValueSize: stateSize, MaxEntries: 1,
	})
	if err != nil {
		return fmt.Errorf("make map: %w", err)
	}
	if err := d.SetProbability(probability); err != nil {
		return err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "dropper", Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: program(d.state.FD()),
	})
	if err != nil {
		return fmt.Errorf("load program: %w", err)
	}
	defer func() { err = errors.Join(err, prog.Close()) }()
	index := link.Attrs().Index
	qdisc := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0),
	}}
	if err := d.handle.QdiscAdd(qdisc); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("add clsact: %w", err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: direction.parent(), Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
		},
		Fd: prog.FD(), Name: "dropper", DirectAction: true,
	}
	if err := d.handle.FilterAdd(filter); err != nil {
		return fmt.Errorf("add filter: %w", err)
	}
	d.filter = filter
	return nil
}

func (d Direction) parent() uint32 {
	if d == Egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// Counts tells how many packets came by and how many of them were lost.
func (d *Dropper) Counts() (Counts, error) {
	value, err := d.state.LookupBytes(uint32(0))
	if err != nil {
		return Counts{}, fmt.Errorf("read dropper: %w", err)
	}
	return Counts{
		Seen:    binary.NativeEndian.Uint64(value[seenOffset:]),
		Dropped: binary.NativeEndian.Uint64(value[droppedOffset:]),
	}, nil
}

// SetProbability changes the probability. Counts start again from zero.
func (d *Dropper) SetProbability(p float64) error {
	value := make([]byte, stateSize)
	binary.NativeEndian.PutUint64(value[thresholdOffset:], threshold(p))
	if err := d.state.Put(uint32(0), value); err != nil {
		return fmt.Errorf("set drop probability %v: %w", p, err)
	}
	return nil
}

// Close stops losing packets. The qdisc stays: others may use it.
func (d *Dropper) Close() error {
	var errs []error
	if d.filter != nil {
		errs = append(errs, d.handle.FilterDel(d.filter))
	}
	if d.state != nil {
		errs = append(errs, d.state.Close())
	}
	return errors.Join(errs...)
}

// The one value of the map.
const (
	thresholdOffset = 8 * iota
	seenOffset
	droppedOffset
	stateSize
)

// threshold is what a random 32-bit number has to be below for a packet to be lost.
func threshold(probability float64) uint64 {
	return uint64(min(max(probability, 0), 1) * (1 << 32))
}

// program drops (TC_ACT_SHOT) or leaves the packet to the next filter (TC_ACT_UNSPEC).
func program(stateFD int) asm.Instructions {
	const unspec, shot = -1, 2
	return asm.Instructions{
		asm.Mov.Imm(asm.R7, 1),
		asm.LoadMapValue(asm.R6, stateFD, seenOffset),
		asm.StoreXAdd(asm.R6, asm.R7, asm.DWord),
		asm.LoadMapValue(asm.R6, stateFD, thresholdOffset),
		asm.LoadMem(asm.R8, asm.R6, 0, asm.DWord),
		asm.FnGetPrandomU32.Call(),
		asm.JGE.Reg(asm.R0, asm.R8, "pass"),
		asm.LoadMapValue(asm.R6, stateFD, droppedOffset),
		asm.StoreXAdd(asm.R6, asm.R7, asm.DWord),
		asm.Mov.Imm(asm.R0, shot),
		asm.Return(),
		asm.Mov.Imm(asm.R0, unspec).WithSymbol("pass"),
		asm.Return(),
	}
}
