// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Echoes sends the echo requests of all checks of the process (RFC 792, RFC
// 4443) and hands the replies out to those who wait for them. It has one socket
// for each family, which it opens at the first request.
type Echoes struct {
	mu      sync.Mutex
	closed  bool
	sockets map[bool]*echoSocket // by whether it is of IPv4
	readers sync.WaitGroup
}

// NewEchoes makes one without sockets.
func NewEchoes() *Echoes { return &Echoes{sockets: map[bool]*echoSocket{}} }

// Close closes the sockets and waits for those who read them.
func (e *Echoes) Close() error {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	e.closed = true
	var errs []error
	for _, s := range e.sockets {
		errs = append(errs, s.conn.Close())
	}
	e.mu.Unlock()
	e.readers.Wait()
	return errors.Join(errs...)
}

// socket is that for a family.
func (e *Echoes) socket(v4 bool) (*echoSocket, error) {
	if e == nil {
		return nil, &fault{errors.New("there is no socket for ICMP"), "only who runs checks has one"}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, net.ErrClosed
	}
	if s, ok := e.sockets[v4]; ok {
		return s, nil
	}
	s, err := openEcho(v4)
	if err != nil {
		return nil, err
	}
	e.sockets[v4] = s
	e.readers.Go(s.read)
	return s, nil
}

// echoSocket is a socket for one family.
type echoSocket struct {
	v4, raw bool
	conn    *icmp.PacketConn
	id      uint16 // of a raw socket; a ping socket has the kernel's

	mu      sync.Mutex
	last    uint16
	waiting map[uint16]*echoRequest // by sequence number
}

// echoRequest is a request that waits for its reply.
type echoRequest struct {
	target netip.Addr
	token  [8]byte // begins the payload
	heard  chan<- echoAnswer
}

// echoAnswer is what came of a request: an ICMP error, or none.
type echoAnswer struct{ err error }

// echoError is an ICMP error that names an echo request.
type echoError struct {
	by   netip.Addr
	text string
}

func (e *echoError) Error() string { return fmt.Sprintf("%s says: %s", e.by, e.text) }

// openEcho opens a raw socket, or else a ping socket, to which
// net.ipv4.ping_group_range admits and which hears no ICMP errors.
func openEcho(v4 bool) (*echoSocket, error) {
	raw, ping, any := "ip6:ipv6-icmp", "udp6", "::"
	if v4 {
		raw, ping, any = "ip4:icmp", "udp4", "0.0.0.0"
	}
	s := &echoSocket{v4: v4, raw: true, waiting: map[uint16]*echoRequest{}}
	conn, err := icmp.ListenPacket(raw, any)
	if err != nil {
		s.raw = false
		var second error
		if conn, second = icmp.ListenPacket(ping, any); second != nil {
			return nil, &fault{err, "the director needs CAP_NET_RAW, or its group in net.ipv4.ping_group_range"}
		}
	}
	s.conn = conn
	var seed [4]byte
	_, _ = rand.Read(seed[:]) // never fails
	s.id, s.last = binary.BigEndian.Uint16(seed[:]), binary.BigEndian.Uint16(seed[2:])
	if s.raw {
		err = s.filter()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("filter ICMP: %w", err), conn.Close())
	}
	return s, nil
}

// filter keeps away what is neither a reply nor an error: other processes'
// requests, and our own to this very machine.
func (s *echoSocket) filter() error {
	if s.v4 {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		for _, t := range []ipv4.ICMPType{ipv4.ICMPTypeEchoReply, ipv4.ICMPTypeDestinationUnreachable, ipv4.ICMPTypeTimeExceeded} {
			f.Accept(t)
		}
		return s.conn.IPv4PacketConn().SetICMPFilter(&f)
	}
	var f ipv6.ICMPFilter
	f.SetAll(true)
	for _, t := range []ipv6.ICMPType{ipv6.ICMPTypeEchoReply, ipv6.ICMPTypeDestinationUnreachable, ipv6.ICMPTypeTimeExceeded} {
		f.Accept(t)
	}
	return s.conn.IPv6PacketConn().SetICMPFilter(&f)
}

// expect registers a request under a sequence number that is free.
func (s *echoSocket) expect(e *echoRequest) (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 1 << 16 {
		s.last++
		if s.waiting[s.last] == nil {
			s.waiting[s.last] = e
			return s.last, nil
		}
	}
	return 0, &fault{errors.New("65536 echo requests are under way"), "run the checks of kind icmp less often"}
}

func (s *echoSocket) forget(seq uint16) {
	s.mu.Lock()
	delete(s.waiting, seq)
	s.mu.Unlock()
}

// send sends a request from an origin, whose mark and ports it cannot honour.
func (s *echoSocket) send(o Origin, e *echoRequest, seq uint16, size int) error {
	payload := make([]byte, size)
	copy(payload, e.token[:])
	m := icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: int(s.id), Seq: int(seq), Data: payload}}
	if s.v4 {
		m.Type = ipv4.ICMPTypeEcho
	}
	packet, err := m.Marshal(nil) // of IPv6 the kernel computes the sum
	if err != nil {
		return err
	}
	index := 0
	if o.Device != "" {
		device, err := net.InterfaceByName(o.Device)
		if err != nil {
			return &fault{err, "the director has no such device"}
		}
		index = device.Index
	}
	to := &net.IPAddr{IP: e.target.AsSlice(), Zone: e.target.Zone()}
	var dst net.Addr = to
	if !s.raw {
		dst = &net.UDPAddr{IP: to.IP, Zone: to.Zone}
	}
	if s.v4 {
		_, err = s.conn.IPv4PacketConn().WriteTo(packet, &ipv4.ControlMessage{Src: o.Source.AsSlice(), IfIndex: index}, dst)
		return err
	}
	_, err = s.conn.IPv6PacketConn().WriteTo(packet, &ipv6.ControlMessage{Src: o.Source.AsSlice(), IfIndex: index}, dst)
	return err
}
