// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The numbers of protocols, as IP headers and icmp.ParseMessage have them.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// read hands replies out until the socket is closed.
func (s *echoSocket) read() {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an error that an earlier packet met
		}
		s.take(buffer[:n], addressOf(from))
	}
}

func addressOf(from net.Addr) netip.Addr {
	var ip net.IP
	switch a := from.(type) {
	case *net.IPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	}
	address, _ := netip.AddrFromSlice(ip)
	return address.Unmap()
}

// take hands out one message, if it is anybody's.
func (s *echoSocket) take(packet []byte, from netip.Addr) {
	protocol := protocolICMPv6
	if s.v4 {
		protocol = protocolICMP
	}
	m, err := icmp.ParseMessage(protocol, packet)
	if err != nil {
		return
	}
	switch body := m.Body.(type) {
	case *icmp.Echo:
		s.replied(m.Type, body, from)
	case *icmp.DstUnreach:
		s.erred(body.Data, &echoError{from, unreachableText(m)})
	case *icmp.TimeExceeded:
		s.erred(body.Data, &echoError{from, "time exceeded on the way"})
	}
}

// replied takes an echo reply: number, sender and token have to be those of a
// request.
func (s *echoSocket) replied(sort icmp.Type, body *icmp.Echo, from netip.Addr) {
	reply := sort == ipv4.ICMPTypeEchoReply || sort == ipv6.ICMPTypeEchoReply
	ours := !s.raw || body.ID == int(s.id)
	if !reply || !ours || len(body.Data) < 8 {
		return
	}
	s.answer(uint16(body.Seq), echoAnswer{}, func(e *echoRequest) bool {
		return e.target == from && [8]byte(body.Data) == e.token
	})
}

// erred takes an ICMP error, which quotes the head of the packet that met it.
func (s *echoSocket) erred(quote []byte, err error) {
	var to netip.Addr
	var request byte
	if s.v4 {
		if len(quote) < 20 || quote[9] != protocolICMP {
			return
		}
		to, request = netip.AddrFrom4([4]byte(quote[16:20])), byte(ipv4.ICMPTypeEcho)
		quote = quote[min(len(quote), int(quote[0]&0xf)*4):]
	} else {
		if len(quote) < 40 || quote[6] != protocolICMPv6 {
			return
		}
		to, request = netip.AddrFrom16([16]byte(quote[24:40])), byte(ipv6.ICMPTypeEchoRequest)
		quote = quote[40:]
	}
	if len(quote) < 8 || quote[0] != request || binary.BigEndian.Uint16(quote[4:]) != s.id {
		return
	}
	s.answer(binary.BigEndian.Uint16(quote[6:]), echoAnswer{err}, func(e *echoRequest) bool { return e.target == to })
}

// answer ends the wait of a request, if it is the one that is meant.
func (s *echoSocket) answer(seq uint16, a echoAnswer, meant func(*echoRequest) bool) {
	s.mu.Lock()
	e := s.waiting[seq]
	if e != nil && meant(e) {
		delete(s.waiting, seq)
	} else {
		e = nil
	}
	s.mu.Unlock()
	if e != nil {
		e.heard <- a // which has room for one answer to each request
	}
}

// unreachableText is what a "destination unreachable" says, by its code.
func unreachableText(m *icmp.Message) string {
	texts := map[int]string{0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 9: "network prohibited", 10: "host prohibited", 13: "administratively prohibited"}
	if m.Type == ipv6.ICMPTypeDestinationUnreachable {
		texts = map[int]string{0: "no route", 1: "administratively prohibited", 2: "beyond scope", 3: "address unreachable", 6: "route rejected"}
	}
	if text, ok := texts[m.Code]; ok {
		return text
	}
	return "unreachable"
}
