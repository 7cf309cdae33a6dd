// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// flooder sends packets from addresses where nobody is, past the client's TCP.
type flooder struct {
	fd       int
	from     netip.Prefix
	template []byte                 // the packet, all random fields of it zero
	received func() (uint64, error) // by the director
}

const burst = 64

func newFlooder(lab *netlab.Lab, to netip.AddrPort, flags packet.Flags) (*flooder, error) {
	f := &flooder{from: lab.Nobody4}
	f.received = func() (uint64, error) {
		link, err := lab.Director.Netlink().LinkByName("eth0")
		if err != nil {
			return 0, err
		}
		return link.Attrs().Statistics.RxPackets, nil
	}
	mac, err := lab.Director.MAC("eth0")
	if err != nil {
		return nil, err
	}
	f.template = f.blank(to, flags, packet.MAC(mac))
	link, err := lab.Client.Netlink().LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	err = lab.Client.Do(func() (err error) {
		if f.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(f.fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
	})
	return f, err
}

func (*flooder) blank(to netip.AddrPort, flags packet.Flags, mac packet.MAC) []byte {
	from := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	return packet.TCP{Src: from, Dst: to, Flags: flags, Window: 65535, Link: packet.Link{Dst: mac}}.Bytes()
}

// Where the random fields are in the frame, and the sums that cover them.
const (
	ipSum, ipSource   = 14 + 10, 14 + 12
	tcpSource, tcpSeq = 14 + 20, 14 + 20 + 4
	tcpSum, tcpFrame  = 14 + 20 + 16, 14 + 20 + 20
	firstPort         = 1024
)

// fill makes a packet from a random address, port and sequence number.
func (f *flooder) fill(frame *[tcpFrame]byte) {
	copy(frame[:], f.template)
	first := f.from.Addr().As4()
	address := binary.BigEndian.Uint32(first[:]) | rand.Uint32()>>f.from.Bits()
	port, seq := uint16(firstPort+rand.IntN(1<<16-firstPort)), rand.Uint32()
	binary.BigEndian.PutUint32(frame[ipSource:], address)
	binary.BigEndian.PutUint16(frame[tcpSource:], port)
	binary.BigEndian.PutUint32(frame[tcpSeq:], seq)
	ip := address>>16 + address&0xffff
	addTo(frame[ipSum:], ip)
	addTo(frame[tcpSum:], ip+uint32(port)+seq>>16+seq&0xffff)
}

// addTo takes into a checksum what was zero when it was made (RFC 1624).
func addTo(field []byte, sum uint32) {
	sum += uint32(^binary.BigEndian.Uint16(field))
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(field, ^uint16(sum))
}

// mmsghdr is that of sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	_ [2]uint32 // how much was sent, and padding
}

func (f *flooder) burst() error {
	var frames [burst][tcpFrame]byte
	var parts [burst]unix.Iovec
	var messages [burst]mmsghdr
	for i := range frames {
		f.fill(&frames[i])
		parts[i].Base = &frames[i][0]
		parts[i].SetLen(tcpFrame)
		messages[i].Iov = &parts[i]
		messages[i].SetIovlen(1)
	}
	_, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&messages)), burst, 0, 0, 0)
	runtime.KeepAlive(&frames)
	runtime.KeepAlive(&parts)
	if errno != 0 && errno != unix.ENOBUFS {
		return errno
	}
	return nil
}

// run sends until the director has received n packets more.
func (f *flooder) run(n uint64) error {
	before, err := f.received()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(longest); ; {
		for range 20 {
			if err := f.burst(); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
		now, err := f.received()
		switch {
		case err != nil:
			return err
		case now-before >= n:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the director got %d packets in %v", now-before, longest)
		}
	}
}

// cmdFlood sends SYNs, or ACKs of connections that there are not.
func cmdFlood(ts *testscript.TestScript, _ bool, args []string) {
	flags := map[string]packet.Flags{"syn": packet.SYN, "ack": packet.ACK}
	if len(args) != 3 || flags[args[2]] == 0 {
		ts.Fatalf("usage: flood N ADDRESS syn|ack")
	}
	n, err := strconv.ParseUint(args[0], 10, 64)
	ts.Check(err)
	to, err := netip.ParseAddr(args[1])
	ts.Check(err)
	f, err := newFlooder(stageOf(ts).lab, netip.AddrPortFrom(to, 80), flags[args[2]])
	ts.Check(err)
	defer unix.Close(f.fd)
	began := time.Now()
	ts.Check(f.run(n))
	_, _ = fmt.Fprintf(ts.Stdout(), "%d packets in %v\n", n, time.Since(began).Round(time.Millisecond))
}

// cmdPMTU prints what the client's kernel takes for the MTU of a way.
func cmdPMTU(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: pmtu ADDRESS")
	}
	to, err := netip.ParseAddr(args[0])
	ts.Check(err)
	var mtu int
	ts.Check(stageOf(ts).lab.Client.Do(func() (err error) {
		mtu, err = pathMTU(to)
		return err
	}))
	_, _ = fmt.Fprintln(ts.Stdout(), mtu)
}

// pathMTU is IP_MTU of ip(7) or IPV6_MTU of ipv6(7).
func pathMTU(to netip.Addr) (int, error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU
	var sa unix.Sockaddr
	if to.Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU
		sa = &unix.SockaddrInet6{Port: 80, Addr: to.As16()}
	}
	if to.Is4() {
		sa = &unix.SockaddrInet4{Port: 80, Addr: to.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, sa); err != nil {
		return 0, err
	}
	return unix.GetsockoptInt(fd, level, option)
}
