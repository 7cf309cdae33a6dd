// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Attachment is the two programs on one interface.
type Attachment struct {
	Interface string
	Index     int // of the interface
	XDP       bool
	TC        bool
	// NoXDP says why XDP is not there although it was wished for, where the
	// mode leaves that open.
	NoXDP error
}

// AttachMode says where on an interface the programs sit.
type AttachMode uint8

// The modes. AttachAuto takes XDP where the driver has it natively, veth
// excepted: a veth sends XDP answers only if its peer runs XDP too, which can't
// be seen from this side. tc is there in every mode, for what XDP has no room
// to answer.
const (
	AttachAuto AttachMode = iota
	AttachXDP
	AttachTC
)

// The kinds of pins under the link folder; clsact has no link, so the program
// itself is pinned as a mark.
const (
	linkFolder      = "links"
	kindXDP         = "xdp"
	kindTCX         = "tcx"
	kindClsact      = "clsact"
	kindProbe       = "probe"
	kindProbeClsact = "probeclsact"
)

// A BPF file system has no dots in names (bpf_lookup in kernel/bpf/inode.c),
// an interface has no colons in its own (dev_valid_name in net/core/dev.c).
const dot, noDot = ".", ":"

func (e *Engine) pin(name, kind string) string {
	return filepath.Join(e.dir, linkFolder, kind+"_"+strings.ReplaceAll(name, dot, noDot))
}

// Attach puts the programs of this build on an interface, in one atomic step
// for each where an older one runs there.
func (e *Engine) Attach(name string, mode AttachMode) (Attachment, error) {
	a, err := e.attach(name, mode)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.noXDP[name] = a.NoXDP
	return a, err
}

func (e *Engine) attach(name string, mode AttachMode) (Attachment, error) {
	iface, err := netlink.LinkByName(name)
	if err != nil {
		return Attachment{}, fmt.Errorf("find interface %s: %w", name, err)
	}
	attrs := iface.Attrs()
	a := Attachment{Interface: name, Index: attrs.Index}
	if attrs.EncapType != "ether" && attrs.EncapType != "loopback" {
		return a, fmt.Errorf("attach to %s: its packets have no Ethernet header (%s), which this version needs", name, attrs.EncapType)
	}
	if err := e.attachTC(iface, e.ingress()); err != nil {
		return a, fmt.Errorf("attach to %s by tc: %w", name, err)
	}
	a.TC = true
	if mode == AttachAuto && iface.Type() == "veth" {
		mode, a.NoXDP = AttachTC, errVeth
	}
	if mode == AttachTC {
		return a, e.unpinLink(name, kindXDP)
	}
	vlan, err := hasVLAN(attrs.Index)
	if err != nil {
		return a, err
	}
	switch err := e.attachXDP(name, attrs.Index, vlan); {
	case err == nil:
		a.XDP = true
	case mode == AttachXDP:
		return a, fmt.Errorf("attach to %s by XDP: %w", name, err)
	default:
		a.NoXDP = err
	}
	return a, nil
}

// Detach takes the programs off an interface. It is no error if they are not
// on it, or if there is no such interface any more.
func (e *Engine) Detach(name string) error {
	err := errors.Join(
		e.unpinLink(name, kindXDP),
		e.detachTC(name, e.ingress()),
	)
	if err != nil {
		return fmt.Errorf("detach from %s: %w", name, err)
	}
	return nil
}

// Attached lists the interfaces that the programs of this build are on. One
// that still has an older program, or that has come back as another device
// under its name, is listed without it, and so is one where XDP must go.
func (e *Engine) Attached() ([]Attachment, error) {
	names, err := e.pinnedInterfaces()
	if err != nil {
		return nil, err
	}
	var out []Attachment
	for _, name := range names {
		a := Attachment{Interface: name, NoXDP: e.reason(name)}
		if iface, err := netlink.LinkByName(name); err == nil {
			a.Index = iface.Attrs().Index
			a.XDP = e.running(name, kindXDP, e.MaitredXdp, a.Index) || e.running(name, kindXDP, e.MaitredXdpFrags, a.Index)
			a.TC = e.runningTC(iface, e.ingress())
			if vlan, err := hasVLAN(a.Index); a.XDP && err == nil && vlan {
				a.TC = false // for Attach to see to it
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// errVeth is why a veth is left to tc unless XDP is asked for.
var errVeth = errors.New("it is a veth, which sends XDP's answers only if its peer runs XDP too")

// errVLAN is why XDP would answer to nowhere: most drivers take the tag off
// before XDP sees the packet, and the answer would leave without it.
var errVLAN = errors.New("it carries VLAN devices, whose tags drivers take off before XDP: tc alone answers there")

func hasVLAN(index int) (bool, error) {
	const patience = 10 // interfaces come and go while they are listed
	links, err := netlink.LinkList()
	for i := 0; i < patience && errors.Is(err, netlink.ErrDumpInterrupted); i++ {
		links, err = netlink.LinkList()
	}
	if err != nil {
		return false, fmt.Errorf("list the interfaces: %w", err)
	}
	return slices.ContainsFunc(links, func(l netlink.Link) bool {
		return l.Type() == "vlan" && l.Attrs().ParentIndex == index
	}), nil
}

// reason is why the last Attach left XDP out.
func (e *Engine) reason(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.noXDP[name]
}

func (e *Engine) attachXDP(name string, index int, vlan bool) error {
	if vlan {
		return errors.Join(errVLAN, e.unpinLink(name, kindXDP))
	}
	attach := func(p *ebpf.Program) error {
		return e.attachLink(name, kindXDP, p, index, func() (link.Link, error) {
			return link.AttachXDP(link.XDPOptions{Program: p, Interface: index, Flags: link.XDPDriverMode})
		})
	}
	// What a driver takes for large frames it may take at a price, or not at all.
	err := attach(e.MaitredXdp)
	if err == nil || attach(e.MaitredXdpFrags) == nil {
		return nil
	}
	return err
}

// attachLink moves a pinned link to the program, or makes and pins a new one
// where there is none on this very interface.
func (e *Engine) attachLink(name, kind string, p *ebpf.Program, index int, attach func() (link.Link, error)) error {
	if l, ok := e.pinnedLink(name, kind, index); ok {
		defer l.Close()
		if err := l.Update(p); err != nil {
			return fmt.Errorf("replace the program: %w", err)
		}
		return nil
	}
	if err := e.unpinLink(name, kind); err != nil {
		return err
	}
	l, err := attach()
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Pin(e.pin(name, kind)); err != nil {
		return fmt.Errorf("pin the link: %w", err)
	}
	return nil
}

// pinnedLink opens the link of that kind if it still holds on to the interface
// of that index. The kernel lets go of it when the interface goes, and somebody
// may detach it by force.
func (e *Engine) pinnedLink(name, kind string, index int) (link.Link, bool) {
	l, err := link.LoadPinnedLink(e.pin(name, kind), nil)
	if err != nil {
		return nil, false
	}
	info, err := l.Info()
	if err == nil && index != 0 && linkIndex(info) == index {
		return l, true
	}
	_ = l.Close()
	return nil, false
}

func linkIndex(info *link.Info) int {
	if x := info.XDP(); x != nil {
		return int(x.Ifindex)
	}
	if t := info.TCX(); t != nil {
		return int(t.Ifindex)
	}
	return 0
}

func (e *Engine) running(name, kind string, p *ebpf.Program, index int) bool {
	l, ok := e.pinnedLink(name, kind, index)
	if !ok {
		return false
	}
	defer l.Close()
	info, err := l.Info()
	return err == nil && info.Program == programID(p)
}

// unpinLink detaches first: a link that only loses its pin is let go of later,
// and until then the interface takes no other.
func (e *Engine) unpinLink(name, kind string) error {
	if l, err := link.LoadPinnedLink(e.pin(name, kind), nil); err == nil {
		_ = l.Detach() // fails where the interface is gone, and with it the attachment
		_ = l.Close()
	}
	err := os.Remove(e.pin(name, kind))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin a link: %w", err)
	}
	return nil
}

func (e *Engine) pinnedInterfaces() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(e.dir, linkFolder))
	if err != nil {
		return nil, fmt.Errorf("list pinned links: %w", err)
	}
	var names []string
	for _, entry := range entries {
		kind, name, _ := strings.Cut(entry.Name(), "_")
		name = strings.ReplaceAll(name, noDot, dot)
		if kind != kindProbe && kind != kindProbeClsact && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func programID(p *ebpf.Program) ebpf.ProgramID {
	info, err := p.Info()
	if err != nil {
		return 0
	}
	id, _ := info.ID()
	return id
}
