// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

var unreachablePage = speechPage{testResponse{bytes: []byte{0}}, DirectorSpeechSPEECH_UNREACHABLE}

// TestUnreachable: an ICMP error with as much of the datagram as it has room for.
func TestUnreachable(t *testing.T) {
	l, es := datagrams(t)
	l.serveUDP(t, unreachablePage, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
	for _, c := range causes() {
		for _, e := range es {
			if !strings.HasPrefix(c.name, e.name+" udp") {
				continue
			}
			c.e.id = e.id
			for _, tags := range [][]uint16{nil, {7}, {7, 8}} {
				for _, size := range []int{0, 1, 19, 500, 1400} {
					t.Run(fmt.Sprintf("%s, %d bytes, %d tags", c.name, size, len(tags)), func(t *testing.T) {
						link := packet.Link{VLANs: tags}
						frame := c.bytes(size, c.ip, link)
						l.tell(t, frame, result{DirectorVerdictANSWER_UNREACHABLE, e.id, c.unreachable(frame, link)})
					})
				}
			}
		}
	}
}

// unreachable is the error that says that nobody listens at that port: RFC 792;
// RFC 4443, 3.1.
func (c causeOf) unreachable(frame []byte, link packet.Link) []byte {
	told, err := packet.Parse(c.told(3, 3, 1, 0, frame, link))
	if err != nil {
		panic(err)
	}
	m := *told.ICMP
	m.Checksum, m.IP.Checksum = nil, nil
	if c.e.vip.Addr().Is6() {
		m.Code = 4
	}
	return m.Bytes()
}

// TestUnreachableToNobody: no error goes where nobody can have sent from, nor
// more of them than a CPU may send.
func TestUnreachableToNobody(t *testing.T) {
	l, es := datagrams(t)
	l.serveUDP(t, unreachablePage, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
	for _, e := range es {
		sources := []string{"0.0.0.0:9", "127.0.0.1:9", "224.0.0.1:9", "255.255.255.255:9", "192.0.2.1:0"}
		if e.vip.Addr().Is6() {
			sources = []string{"[::]:9", "[ff02::1]:9", "[2001:db8:1::1]:0"}
		}
		for _, source := range sources {
			t.Run(source, func(t *testing.T) {
				frame := packet.UDP{Src: netip.MustParseAddrPort(source), Dst: e.vip, Payload: make([]byte, 9)}.Bytes()
				l.tell(t, frame, result{verdict: DirectorVerdictDROP_LIMIT, id: e.id})
			})
		}
		t.Run(e.name+", no budget", func(t *testing.T) {
			if err := l.Resets.Put(uint32(0), make([]DirectorBudget, ebpf.MustPossibleCPU())); err != nil {
				t.Fatal(err)
			}
			l.set(t, DirectorSetting{ResetLimit: 0})
			defer l.set(t, DirectorSetting{ResetLimit: 1 << 30})
			frame := packet.UDP{Src: e.client, Dst: e.vip, Payload: make([]byte, 9)}.Bytes()
			l.tell(t, frame, result{verdict: DirectorVerdictDROP_LIMIT, id: e.id})
		})
	}
}

// TestDatagramsOfOthers: a page speaks while its service is sorry, and only if it
// has words for a datagram.
func TestDatagramsOfOthers(t *testing.T) {
	l, es := datagrams(t)
	http := speechPage{testPage(2000, 100), DirectorSpeechSPEECH_HTTP}
	sorry, shed := DirectorServiceModeMODE_SORRY, DirectorServiceModeMODE_SHED
	linger, serve := DirectorServiceModeMODE_LINGER, DirectorServiceModeMODE_SERVE
	for name, c := range map[string]struct {
		page    speechPage
		mode    DirectorServiceMode
		none    bool
		verdict DirectorVerdict
	}{
		"dns, serve":          {dnsPage, serve, false, DirectorVerdictPASS_SERVED},
		"dns, linger":         {dnsPage, linger, false, DirectorVerdictPASS_LINGER},
		"dns, shed":           {dnsPage, shed, false, DirectorVerdictPASS_LINGER},
		"unreachable, linger": {unreachablePage, linger, false, DirectorVerdictPASS_LINGER},
		"http, sorry":         {http, sorry, false, DirectorVerdictPASS_NO_PAGE},
		"any, sorry":          {anyPage, sorry, false, DirectorVerdictPASS_NO_PAGE},
		"postgres, sorry":     {postgresPage(), sorry, false, DirectorVerdictPASS_NO_PAGE},
		"no page, sorry":      {dnsPage, sorry, true, DirectorVerdictPASS_NO_PAGE},
	} {
		t.Run(name, func(t *testing.T) {
			s := DirectorService{Mode: c.mode}
			l.serveUDP(t, c.page, s)
			for i, e := range es {
				if c.none {
					s.Id, s.Page = uint32(e.id), [2]uint32{}
					put(t, l.Services, endpoint([]netip.AddrPort{vip4, vip6}[i], packet.ProtoUDP), s)
				}
				frame := packet.UDP{Src: e.client, Dst: e.vip, Payload: query(1, 0, "a.example")}.Bytes()
				for _, program := range l.programs() {
					l.expect(t, program, frame, result{verdict: c.verdict, id: e.id})
				}
			}
		})
	}
}
