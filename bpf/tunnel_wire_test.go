// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// TestTagsOnTheWire: on a real interface the outermost tag of a frame does not
// stand in its data. Both tags are kept by what goes out where it came in, be it
// a packet in a tunnel or an error.
func TestTagsOnTheWire(t *testing.T) {
	l := newLane(t)
	w := l.plug(t)
	eachTunnel(t, l, func(t *testing.T, k tunnelKind) {
		for _, e := range exchanges() {
			for _, tags := range [][]uint16{nil, {7}, {7, 0x2008}} {
				t.Run(fmt.Sprintf("%s, %d tags", e.name, len(tags)), func(t *testing.T) {
					link := packet.Link{VLANs: tags}
					p := passenger{client: e.client, ip: packet.IP{DF: true}, outer: packet.IP{DF: true}, bytes: tcpBytes(e.client, e.vip, 100)}
					want := k.wrap(p.inner(), e.client, p.outer, link)
					if got := w.exchange(t, p.bytes(p.ip, link), laneTarget); !bytes.Equal(got, want) {
						t.Errorf("in the tunnel:\n got %x\nwant %x", got, want)
					}
					last := p.ip
					last.TTL = 1
					frame := p.bytes(last, link)
					want = causeOf{e: e}.told(11, 0, 3, 0, frame, link)
					if got := drawn(w.exchange(t, frame, packet.DefaultSrcMAC), want); !bytes.Equal(got, want) {
						t.Errorf("error:\n got %x\nwant %x", got, want)
					}
				})
			}
		}
	})
}

// wire is the far end of the director's link.
type wire struct{ fd int }

// plug puts tc to work at the end of a link, by which the server is reached, too.
func (l *lane) plug(t *testing.T) wire {
	t.Helper()
	director, far := netlab.Make(t, "director"), netlab.Make(t, "far")
	if err := netlab.Veth(netlab.End{In: director, Name: "eth0"}, netlab.End{In: far, Name: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}
	dev, err := director.Netlink().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	l.device = uint32(dev.Attrs().Index)
	if err := director.Do(func() error { return addFilter(dev, l.MaitredTc, "maitred_tc") }); err != nil {
		t.Fatal(err)
	}
	return plugInto(t, far, "eth0")
}

// plugInto is the end of a link by its device.
func plugInto(t *testing.T, far *netlab.Namespace, name string) wire {
	t.Helper()
	end, err := far.Netlink().LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	w := wire{fd: -1}
	err = far.Do(func() (err error) {
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
			unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
			unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: end.Attrs().Index}),
		)
	})
	t.Cleanup(func() { _ = unix.Close(w.fd) })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// exchange sends a frame and waits for one to an address.
func (w wire) exchange(t *testing.T, frame []byte, to packet.MAC) []byte {
	t.Helper()
	if _, err := unix.Write(w.fd, frame); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		b, aux := make([]byte, 4096), make([]byte, 256)
		n, m, _, from, err := unix.Recvmsg(w.fd, b, aux, 0)
		if err != nil {
			t.Fatalf("await a frame to %x: %v", to, err)
		}
		own := from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING
		if !own && bytes.HasPrefix(b, to[:]) {
			return withTag(t, b[:n], aux[:m])
		}
	}
	t.Fatalf("no frame to %x", to)
	return nil
}

// withTag puts the outermost tag back to where it was on the wire: struct
// tpacket_auxdata of linux/if_packet.h has it.
func withTag(t *testing.T, frame, aux []byte) []byte {
	t.Helper()
	const tci, tpid, addresses = 16, 18, 12
	messages, err := unix.ParseSocketControlMessage(aux)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		out := bytes.Clone(frame[:addresses])
		out = binary.BigEndian.AppendUint16(out, binary.NativeEndian.Uint16(m.Data[tpid:]))
		out = binary.BigEndian.AppendUint16(out, binary.NativeEndian.Uint16(m.Data[tci:]))
		return append(out, frame[addresses:]...)
	}
	return frame
}
