// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// TestSentByNobody: what a group or nobody is said to have sent is not answered, for
// the answer would go to all of them (RFC 1122, 4.2.3.10).
func TestSentByNobody(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		groups := []string{"224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1"}
		if e.vip.Addr().Is6() {
			groups = []string{"ff02::1", "::"}
		}
		for _, group := range groups {
			t.Run(group, func(t *testing.T) {
				e.client = netip.AddrPortFrom(netip.MustParseAddr(group), e.client.Port())
				syn := e.syn(mssOption(1460)...)
				r.check(t, syn.Bytes(), outcome{verdict: DirectorVerdictPASS_MALFORMED, id: e.id})
				ack := e.segment(packet.TCP{Flags: packet.ACK, Ack: 1, Payload: []byte("x")})
				r.check(t, ack.Bytes(), outcome{verdict: DirectorVerdictDROP_ORPHAN, id: e.id})
			})
		}
	})
}
