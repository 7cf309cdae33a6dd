// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// shedAt is how many of 2^32 new connections make a fraction.
func shedAt(fraction float64) uint32 { return uint32(min(fraction*(1<<32), math.MaxUint32)) }

// turnedAway tells the fate of a new connection under the first key of every rig.
func turnedAway(e exchange, shed uint32) bool {
	return isn(key0, e.client, e.vip, 0, 0) < shed
}

// shedding sets a fraction to be turned away.
func (r *rig) shedding(t testing.TB, shed uint32) {
	t.Helper()
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SHED, Page: [2]uint32{1, 0}, Shed: shed})
}

// TestShed: of the new connections the fraction gets the page, each time that its
// SYN is sent; the others are passed on as they are.
func TestShed(t *testing.T) {
	r := newRig(t)
	for fraction, connections := range map[float64]int{0: 50, 0.3: 1500, 0.99: 500, 1: 50} {
		if testing.Short() {
			connections = min(connections, 200)
		}
		shed := shedAt(fraction)
		r.shedding(t, shed)
		each(t, func(t *testing.T, e exchange) {
			random := rand.New(rand.NewPCG(3, uint64(shed)))
			away := 0
			for range connections {
				e.client = randomClient(random, e.client)
				if turnedAway(e, shed) {
					away++
				}
				r.checkShed(t, e, shed)
			}
			expected := fraction * float64(connections)
			spread := 4 * math.Sqrt(expected*(1-fraction))
			t.Logf("%v: %d of %d were turned away", fraction, away, connections)
			if off := math.Abs(float64(away) - expected); off > spread {
				t.Errorf("%v: %d of %d were turned away, want %.0f, give or take %.0f", fraction, away, connections, expected, spread)
			}
		})
	}
}

// checkShed sends a SYN twice, the second time with other options.
func (r *rig) checkShed(t *testing.T, e exchange, shed uint32) {
	t.Helper()
	for _, mss := range []int{1460, 1400} {
		syn := e.syn(mssOption(mss)...)
		want := outcome{verdict: DirectorVerdictPASS_LINGER, id: e.id}
		if turnedAway(e, shed) {
			want = e.synAck(syn, classOf(min(mss, e.most)), 0, uint16(e.most))
		}
		r.checkFrame(t, fmt.Sprintf("%v, mss %d", e.client, mss), syn.Bytes(), want)
	}
}

// TestShedByCurrentKey: the fate goes by the key that cookies are made with now.
func TestShedByCurrentKey(t *testing.T) {
	r := newRig(t)
	const shed = 1 << 31
	r.shedding(t, shed)
	r.set(t, DirectorSetting{Keys: [2]DirectorCookieKey{key2, key0}, Current: 1})
	each(t, func(t *testing.T, e exchange) {
		random := rand.New(rand.NewPCG(4, 4))
		for range 200 {
			e.client = randomClient(random, e.client)
			r.checkShed(t, e, shed)
		}
	})
}

// TestShedWithoutPage: there is nothing to turn anybody away with.
func TestShedWithoutPage(t *testing.T) {
	r := newRig(t)
	for name, row := range map[string]DirectorService{
		"no page":   {Mode: DirectorServiceModeMODE_SHED, Shed: math.MaxUint32},
		"lingering": {Mode: DirectorServiceModeMODE_LINGER},
	} {
		r.serve(t, row)
		each(t, func(t *testing.T, e exchange) {
			t.Run(name, func(t *testing.T) {
				r.check(t, e.syn(mssOption(1460)...).Bytes(), outcome{verdict: DirectorVerdictPASS_LINGER, id: e.id})
			})
		})
	}
}

// TestShedWhileForwarding: who is admitted gets a server and stays with it, and who
// is turned away leaves no flow behind; a datagram is not turned away.
func TestShedWhileForwarding(t *testing.T) {
	const shed = 1 << 31
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		r.putForward(t, x, DirectorForward{}, x.rows()[0])
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_SHED, Page: [2]uint32{1, 0}, Shed: shed})
		random := rand.New(rand.NewPCG(5, 5))
		for range 50 {
			x.client = randomClient(random, x.client)
			if x.client.Addr().Is6() {
				x.client = client6
			}
			x = x.from(1 + uint16(random.UintN(math.MaxUint16)))
			if x.udp || !turnedAway(x.exchange, shed) {
				r.admitted(t, p, x)
				continue
			}
			before := r.counts(t)
			frame := x.syn(mssOption(1460)...).Bytes()
			if ret, _, err := p.run(frame); err != nil || ret != p.send {
				t.Fatalf("%v: returned %d, %v", x.client, int32(ret), err)
			}
			want := counted(x.id, r.names[DirectorVerdictANSWER_SYN], 1, uint64(len(frame)))
			if got := r.since(before, r.counts(t)); got != want {
				t.Fatalf("%v: counted %s, want %s", x.client, got, want)
			}
			if _, table := r.flow(t, x); table != "" {
				t.Fatalf("%v: a flow in %s", x.client, table)
			}
		}
	})
}

// admitted opens a flow, which is not to be disturbed.
func (r *forwardRig) admitted(t *testing.T, p program, x traffic) {
	t.Helper()
	to := x.rows()[0]
	r.passed(t, p, x, x.first(), opened, r.toServer(x.first(), to))
	r.passed(t, p, x, x.next(), known, r.toServer(x.next(), to))
	end := x.frame(packet.ACK|packet.FIN, 0, packet.IP{}, packet.Link{})
	r.passed(t, p, x, end, known, r.toServer(end, to))
	r.forget(t, x)
}
