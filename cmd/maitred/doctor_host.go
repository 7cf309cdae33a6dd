// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mdlayher/genetlink"
	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
		answers: func() (uint64, uint64, error) { return a.askAnswers(ctx) },
	}
}

func (a *app) askAnswers(ctx context.Context) (sent, deferred uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	st, err := a.client().Status(ctx)
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
		Kind: l.Type(), MTU: at.MTU, Up: at.RawFlags&unix.IFF_UP != 0, XDP: xdpSupport(at.Index),
		Ethernet: at.EncapType == "ether" || at.EncapType == "loopback",
		VLANs: slices.ContainsFunc(all, func(l netlink.Link) bool {
			return l.Type() == "vlan" && l.Attrs().ParentIndex == at.Index
		}),
	}, nil
}

// xdpSupport asks the netdev family of Linux 6.3 and later:
// Documentation/netlink/specs/netdev.yaml.
func xdpSupport(index int) support {
	const (
		cmdDevGet       = 1
		attrIndex       = 1
		attrXDPFeatures = 3
		basic           = 1 // XDP_ABORTED, DROP, PASS and TX
	)
	c, err := genetlink.Dial(nil)
	if err != nil {
		return supportUnknown
	}
	defer func() { _ = c.Close() }() // nothing was changed
	family, err := c.GetFamily("netdev")
	if err != nil {
		return supportUnknown
	}
	question := mdnetlink.NewAttributeEncoder()
	question.Uint32(attrIndex, uint32(index))
	data, err := question.Encode()
	if err != nil {
		return supportUnknown
	}
	answers, err := c.Execute(genetlink.Message{
		Header: genetlink.Header{Command: cmdDevGet, Version: family.Version}, Data: data,
	}, family.ID, mdnetlink.Request)
	if err != nil || len(answers) != 1 {
		return supportUnknown
	}
	answer, err := mdnetlink.NewAttributeDecoder(answers[0].Data)
	if err != nil {
		return supportUnknown
	}
	for answer.Next() {
		if answer.Type() == attrXDPFeatures {
			if answer.Uint64()&basic != 0 {
				return supportYes
			}
			return supportNo
		}
	}
	return supportUnknown
}
