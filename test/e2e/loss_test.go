// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/dropper"
)

// attempts is how many fetches each client makes for each address; fewer where
// the machine is emulated.
func attempts() int {
	if testing.Short() {
		return 3
	}
	return 25
}

// TestThePageSurvivesLoss loses 5 % of the packets each way. What a client
// misses is asked for again by its own retransmission timer: see on_request in
// bpf/include/tcp.h.
func TestThePageSurvivesLoss(t *testing.T) {
	e := newEngine(t, maps.AttachTC, 20000)
	e.survives(t, clients)
}

// TestTheBurstSurvivesLoss: the same where the page comes by ten segments at once,
// of which any may be lost, and the one with the FIN is not.
func TestTheBurstSurvivesLoss(t *testing.T) {
	for _, mode := range []maps.AttachMode{maps.AttachTC, maps.AttachXDP} {
		for _, length := range []int{20000, 60000} {
			t.Run(fmt.Sprintf("mode %d, %d bytes", mode, length), func(t *testing.T) {
				e := newEngine(t, mode, length)
				e.putBurst(t, 10)
				e.survives(t, clients[len(clients)-1:])
			})
		}
	}
}

// putBurst has another page take the place of the one that is there.
func (e *engine) putBurst(t testing.TB, burst int) {
	e.burst, e.body = burst, text(len(e.body)-1)
	e.say(t, maps.ModeSorry, maps.OrphansReset)
}

// survives fetches while 5 % of the packets are lost each way.
func (e *engine) survives(t *testing.T, clients []client) {
	t.Helper()
	const loss = 0.05
	var droppers []*dropper.Dropper
	for _, d := range []dropper.Direction{dropper.Ingress, dropper.Egress} {
		dr, err := dropper.Attach(e.Client.Namespace, "eth0", d, loss)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dr.Close() })
		droppers = append(droppers, dr)
	}
	for _, c := range clients {
		for _, vip := range []netip.Addr{e.VIP4, e.VIP6} {
			t.Run(c.name+" "+vip.String(), func(t *testing.T) {
				var wg sync.WaitGroup
				for range attempts() {
					wg.Go(func() { e.fetch(t, c, vip) })
				}
				wg.Wait()
			})
		}
	}
	for _, d := range droppers {
		n, err := d.Counts()
		if err != nil || n.Dropped == 0 {
			t.Errorf("the dropper saw %d packets and lost %d: %v", n.Seen, n.Dropped, err)
		}
		t.Logf("lost %d of %d packets", n.Dropped, n.Seen)
	}
}
