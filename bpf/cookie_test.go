// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/dchest/siphash"

	"github.com/maitred-lb/maitred/test/packet"
)

// isn is the initial sequence number as the kernel is to compute it for a page
// with the salt, by an implementation of SipHash-2-4 that is not ours.
func isn(key DirectorCookieKey, client, vip netip.AddrPort, class, salt uint32) uint32 {
	b := append(client.Addr().AsSlice(), vip.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, client.Port())
	b = binary.BigEndian.AppendUint16(b, vip.Port())
	h := siphash.Hash(key.K0, key.K1, b)
	return (uint32(h)^salt)&^(7<<16) | class<<16
}

// TestCookieIsSipHash compares initial sequence numbers of many connections
// under many keys.
func TestCookieIsSipHash(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			key := DirectorCookieKey{K0: random.Uint64(), K1: random.Uint64()}
			r.set(t, DirectorSetting{Keys: [2]DirectorCookieKey{key1, key}, Current: 1})
			e.client = randomClient(random, e.client)
			syn := e.segment(packet.TCP{Flags: packet.SYN, MSS: 1460})
			for _, p := range r.programs() {
				_, out, err := p.run(syn.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				want := isn(key, e.client, e.vip, classOf(e.most), 0)
				if got := parseReply(t, out).Seq; got != want {
					t.Fatalf("%s: %v under %x: ISN %#x, want %#x", p.name, e.client, key, got, want)
				}
			}
		}
	})
}

func randomClient(random *rand.Rand, like netip.AddrPort) netip.AddrPort {
	b := like.Addr().AsSlice()
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	b[0] = 1 + b[0]%126 // neither nobody nor a group
	address, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(address, uint16(random.Uint32()))
}

// TestKeyRotation: an exchange outlives one change of keys, and not two.
func TestKeyRotation(t *testing.T) {
	r := newRig(t)
	page := testPage(20000, 100)
	settings := map[string]DirectorSetting{
		"current in 0": {Keys: [2]DirectorCookieKey{key0, key1}, Current: 0, ResetLimit: 1 << 30},
		"current in 1": {Keys: [2]DirectorCookieKey{key1, key0}, Current: 1, ResetLimit: 1 << 30},
	}
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			r.set(t, s)
			each(t, func(t *testing.T, e exchange) {
				for _, key := range []DirectorCookieKey{key0, key1} {
					ack := e.at(key, 1, 0, 1220, packet.TCP{Window: 65535})
					r.check(t, ack.Bytes(), outcome{DirectorVerdictANSWER_SEGMENT, e.id, answerTo(ack, packet.TCP{
						Seq: ack.Ack, Ack: ack.Seq - 1, Flags: packet.ACK | packet.PSH,
						Payload: page.bytes[1220:2440],
					})})
				}
				old := e.at(key2, 1, 0, 1220, packet.TCP{Window: 65535})
				r.check(t, old.Bytes(), outcome{DirectorVerdictANSWER_RESET, e.id, answerTo(old, packet.TCP{
					Seq: old.Ack, Flags: packet.RST,
				})})
			})
		})
	}
}
