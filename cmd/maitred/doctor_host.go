// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// host is what the doctor asks of a machine.
type host struct {
	root    fs.FS // of the file system
	caps    func() (uint64, error)
	release func() (string, error) // of the kernel
	isBPF   func(path string) bool // path is on a BPF file system
	// ownMounts tells whether the mounts are not those of the machine's process 1,
	// as in a container or under ip netns exec.
	ownMounts func() bool
	// mayWrite tells what keeps this process from making that folder, or from
	// making files in it.
	mayWrite func(folder string) error
	ipvs     func() error // nil: the kernel has it
	link     func(name string) (linkFacts, error)
	// path looks up the way to a real server, silent which next hops of these do
	// not answer, transmits whether an interface sends what XDP redirects to it.
	path      func(netip.Addr) (reconcile.Path, error)
	silent    func([]reconcile.Path) []reconcile.Path
	transmits func(index int) support
	// answers asks a running daemon how many answers the sorry engine gave, and
	// how many of them XDP had no room for.
	answers func() (sent, deferred uint64, err error)
}

// linkFacts are what matters of an interface.
type linkFacts struct {
	Kind string // of a virtual device, such as veth or vlan; "device" for hardware
	MTU  int
	Up   bool
	XDP  support
	// Ethernet tells whether packets have an Ethernet header (the loopback
	// device's do), VLANs whether VLAN devices stand on the interface.
	Ethernet, VLANs bool
}

// support says whether a driver has native XDP. Kernels before 6.3 do not tell.
type support int

const (
	supportUnknown support = iota
	supportYes
	supportNo
)

func (a *app) thisHost(ctx context.Context) host {
	return host{
		root: os.DirFS("/"), caps: effective, release: release, isBPF: isBPF, ownMounts: ownMounts, mayWrite: mayWrite, ipvs: askIPVS, link: askLink,
		path: askPath, silent: func(ways []reconcile.Path) []reconcile.Path { return askSilent(ctx, ways) },
		transmits: func(index int) support { return xdpSupport(index, reconcile.XDPTransmits) },
		answers:   func() (uint64, uint64, error) { return a.askAnswers(ctx) },
	}
}

func (a *app) askAnswers(ctx context.Context) (sent, deferred uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	st, err := a.client().Status(ctx)
	if err == nil && st.Forwarding == string(config.ForwardingEBPF) {
		err = errors.New("packets that XDP leaves to tc are not answers alone")
	}
	return answers(st.Verdicts), st.Verdicts["pass_deferred"].Packets, err
}

func release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("ask for the kernel's version: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

func isBPF(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.BPF_FS_MAGIC
}

// ownMounts is false where it cannot be known.
func ownMounts() bool {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	machines, err := os.Readlink("/proc/1/ns/mnt")
	return err == nil && ours != machines
}

// mayWrite asks about the folder, or the first one above it that there is.
func mayWrite(folder string) error {
	for at := folder; ; at = filepath.Dir(at) {
		err := unix.Faccessat(unix.AT_FDCWD, at, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.ENOENT) || at == filepath.Dir(at):
			return fmt.Errorf("%s cannot be written by this user: %s: %w", folder, at, err)
		}
	}
}

// askIPVS asks for the generic netlink family, which makes the kernel load the
// module if it has it.
func askIPVS() error {
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		return fmt.Errorf("ask for IPVS: %w", err)
	}
	return nil
}

func askLink(name string) (linkFacts, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return linkFacts{}, err
	}
	all, err := netlink.LinkList()
	if err != nil {
		return linkFacts{}, err
	}
	at := l.Attrs()
	return linkFacts{
		Kind: l.Type(), MTU: at.MTU, Up: at.RawFlags&unix.IFF_UP != 0, XDP: xdpSupport(at.Index, reconcile.XDPBasic),
		Ethernet: at.EncapType == "ether" || at.EncapType == "loopback",
		VLANs: slices.ContainsFunc(all, func(l netlink.Link) bool {
			return l.Type() == "vlan" && l.Attrs().ParentIndex == at.Index
		}),
	}, nil
}

// xdpSupport asks whether the driver has what XDP is to do.
func xdpSupport(index int, what uint64) support {
	features, ok := reconcile.XDPFeatures(index)
	switch {
	case !ok:
		return supportUnknown
	case features&what != 0:
		return supportYes
	}
	return supportNo
}

// askPath looks up the way to a real server.
func askPath(to netip.Addr) (p reconcile.Path, err error) {
	k, err := reconcile.OpenInterfaces()
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	if p, err = k.Path(to); err != nil {
		return p, err
	}
	l, err := netlink.LinkByIndex(p.Index)
	if err != nil {
		return p, fmt.Errorf("find interface %d, on the way to %s: %w", p.Index, to, err)
	}
	p.Interface = l.Attrs().Name
	return p, nil
}

// How long a neighbour may take to answer. The kernel asks three times, a second
// apart (net.ipv4.neigh.default.mcast_solicit, retrans_time_ms).
const (
	neighbourTime   = 3500 * time.Millisecond
	neighbourPeriod = 50 * time.Millisecond
)

// askSilent has the kernel find out the MAC addresses of the next hops, and tells
// which of them it did not get. A device without ARP needs none.
func askSilent(ctx context.Context, ways []reconcile.Path) []reconcile.Path {
	k, err := reconcile.OpenInterfaces()
	if err != nil {
		return nil
	}
	defer func() { _ = k.Close() }() // nothing was changed
	silent := slices.DeleteFunc(slices.Clone(ways), func(w reconcile.Path) bool { return known(w) || !asksARP(w) })
	for _, w := range silent {
		_ = k.Use(w) // without the right to ask, what is known counts
	}
	ctx, cancel := context.WithTimeout(ctx, neighbourTime)
	defer cancel()
	ticker := time.NewTicker(neighbourPeriod)
	defer ticker.Stop()
	for len(silent) > 0 {
		select {
		case <-ctx.Done():
			return silent
		case <-ticker.C:
			silent = slices.DeleteFunc(silent, known)
		}
	}
	return nil
}

func asksARP(w reconcile.Path) bool {
	l, err := netlink.LinkByIndex(w.Index)
	return err != nil || l.Attrs().RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK|unix.IFF_POINTOPOINT) == 0
}

// known tells whether the kernel has a MAC address for the next hop.
func known(w reconcile.Path) bool {
	const usable = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT | unix.NUD_NOARP
	all, err := netlink.NeighList(w.Index, netlink.FAMILY_ALL)
	return err == nil && slices.ContainsFunc(all, func(n netlink.Neigh) bool {
		at, ok := netip.AddrFromSlice(n.IP)
		return ok && at.Unmap() == w.Gateway && n.State&usable != 0
	})
}
