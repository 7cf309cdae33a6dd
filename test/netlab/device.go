// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// PassXDP attaches a program that passes every packet to a device, in native
// mode. What XDP_TX sends out of a veth reaches a peer only if it has one.
func (n *Namespace) PassXDP(dev string) error {
	return n.attachXDP(dev, "netlab_pass", asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()})
}

// DropXDP attaches a program that drops every packet, before it costs anything.
func (n *Namespace) DropXDP(dev string) error {
	return n.attachXDP(dev, "netlab_drop", asm.Instructions{asm.Mov.Imm(asm.R0, xdpDrop), asm.Return()})
}

func (n *Namespace) attachXDP(dev, name string, instructions asm.Instructions) (err error) {
	device, err := n.link(dev)
	if err != nil {
		return err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.XDP, License: "Apache-2.0", Instructions: instructions,
	})
	if err != nil {
		return fmt.Errorf("load %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, prog.Close()) }()
	return n.Do(func() error {
		l, err := link.AttachXDP(link.XDPOptions{
			Program: prog, Interface: device.Attrs().Index, Flags: link.XDPDriverMode,
		})
		if err != nil {
			return fmt.Errorf("attach %s to %s in %s: %w", name, dev, n.name, err)
		}
		n.holding = append(n.holding, l)
		return nil
	})
}

// TxChecksum turns the transmit checksum offload of a device on or off. Off,
// local senders leave whole checksums in what they send; on, partial ones.
func (n *Namespace) TxChecksum(dev string, on bool) error {
	value := struct{ command, data uint32 }{command: unix.ETHTOOL_STXCSUM}
	if on {
		value.data = 1
	}
	// struct ifreq of netdevice(7) with ifr_data.
	var req struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(req.name[:unix.IFNAMSIZ-1], dev)
	req.data = unsafe.Pointer(&value)
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
		runtime.KeepAlive(&value)
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set transmit checksums of %s in %s to %v: %w", dev, n.name, on, err)
	}
	return nil
}
