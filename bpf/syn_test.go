// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// synAck is what a SYN is answered with.
func (e exchange) synAck(syn packet.TCP, class, salt uint32, mss uint16) outcome {
	return outcome{DirectorVerdictANSWER_SYN, e.id, answerTo(syn, packet.TCP{
		Seq: isn(key0, e.client, e.vip, class, salt), Ack: syn.Seq + 1,
		Flags: packet.SYN | packet.ACK, MSS: mss,
	})}
}

func (e exchange) syn(options ...byte) packet.TCP {
	return e.segment(packet.TCP{Seq: clientISN, Flags: packet.SYN, Window: 64240, Options: options})
}

func classOf(mss int) (class uint32) {
	for i, size := range segmentSizes {
		if mss >= size {
			class = uint32(i)
		}
	}
	return class
}

func mssOption(mss int) []byte { return []byte{2, 4, byte(mss >> 8), byte(mss)} }

func TestSYNOptions(t *testing.T) {
	r := newRig(t)
	timestamps := []byte{8, 10, 1, 2, 3, 4, 0, 0, 0, 0}
	nops := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	const absent = 0
	tests := []struct {
		name    string
		options []byte
		mss     int
	}{
		{"linux", join(mssOption(1460), []byte{4, 2}, timestamps, []byte{1, 3, 3, 7}), 1460},
		{"other options only", join([]byte{4, 2}, timestamps), absent},
		{"second", join([]byte{4, 2}, mssOption(1300)), 1300},
		{"third, unaligned", join([]byte{1, 3, 3, 7}, timestamps, mssOption(1370)), 1370},
		{"twelfth", join(nops(11), mssOption(1460)), 1460},
		{"thirteenth is not looked for", join(nops(12), mssOption(1460)), absent},
		{"first of two", join(mssOption(1300), mssOption(1460)), 1300},
		{"behind the end", join([]byte{0}, mssOption(1460)), absent},
		{"length 3", []byte{2, 3, 5, 1}, absent},
		{"length 0", []byte{8, 0, 2, 4, 5, 180, 1, 1}, absent},
		{"length 1", []byte{8, 1, 2, 4, 5, 180, 1, 1}, absent},
		{"cut short", []byte{1, 2, 4, 5}, absent},
		{"no length", []byte{1, 1, 1, 8}, absent},
		{"beyond the header", []byte{8, 255, 2, 4, 5, 180, 1, 1}, absent},
		{"zero", mssOption(0), 1},
	}
	for _, mss := range []int{1, 535, 536, 537, 1219, 1220, 1359, 1360, 1439, 1440, 1460, 9000, 65535} {
		tests = append(tests, struct {
			name    string
			options []byte
			mss     int
		}{fmt.Sprint("mss ", mss), mssOption(mss), mss})
	}
	each(t, func(t *testing.T, e exchange) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				mss := tt.mss
				if mss == absent {
					mss = int(e.mss)
				}
				syn := e.syn(tt.options...)
				r.check(t, syn.Bytes(), e.synAck(syn, classOf(min(mss, e.most)), 0, uint16(e.most)))
			})
		}
	})
}

// TestSYNIsNotAmplified: no option in an answer to a SYN that had no room.
func TestSYNIsNotAmplified(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		syn := e.syn()
		r.check(t, syn.Bytes(), e.synAck(syn, classOf(int(e.mss)), 0, 0))
	})
}

func TestSYNExtras(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		for name, change := range map[string]func(*packet.TCP){
			"data":       func(p *packet.TCP) { p.Payload = []byte("GET / HTTP/1.1\r\n\r\n") },
			"ecn":        func(p *packet.TCP) { p.Flags |= packet.ECE | packet.CWR },
			"push, urg":  func(p *packet.TCP) { p.Flags |= packet.PSH | packet.URG; p.Urgent = 7 },
			"no window":  func(p *packet.TCP) { p.Window = 0 },
			"reserved":   func(p *packet.TCP) { p.Reserved = 0xf },
			"flow label": func(p *packet.TCP) { p.IP.FlowLabel = 0xabcde; p.IP.TOS = 0xb8; p.IP.TTL = 3 },
			"df":         func(p *packet.TCP) { p.IP.DF = true; p.IP.ID = 77 },
			"wrap":       func(p *packet.TCP) { p.Seq = 0xffffffff },
			"bad sum":    func(p *packet.TCP) { p.Checksum = new(uint16) },
		} {
			t.Run(name, func(t *testing.T) {
				syn := e.syn(mssOption(1460)...)
				change(&syn)
				r.check(t, syn.Bytes(), e.synAck(syn, classOf(e.most), 0, uint16(e.most)))
			})
		}
	})
}

// TestSYNOnNarrowLink: neither side's segments need fragments on the link. Over
// IPv6 they never are longer than every link carries.
func TestSYNOnNarrowLink(t *testing.T) {
	r := newRig(t)
	r.in = netlab.Make(t, "narrow")
	lo, err := r.in.Netlink().LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, mtu := range []int{30, 576, 1280, 1400, 1499, 1500, 9000} {
		if err := r.in.Netlink().LinkSetMTU(lo, mtu); err != nil {
			t.Fatal(err)
		}
		each(t, func(t *testing.T, e exchange) {
			t.Run(fmt.Sprint("mtu ", mtu), func(t *testing.T) {
				link := min(mtu-int(e.headers), e.most)
				if link <= 0 || e.id == id6 {
					link = e.most
				}
				for _, mss := range []int{1460, 536} {
					syn := e.syn(mssOption(mss)...)
					r.check(t, syn.Bytes(), e.synAck(syn, classOf(min(mss, link)), 0, uint16(link)))
				}
			})
		})
	}
}
