// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/bpf"
)

// TestSweepSeesWhatCameMeanwhile has a sweep go through flows that began after it.
func TestSweepSeesWhatCameMeanwhile(t *testing.T) {
	r := newFlowRig(t, pinPath(t), small)
	back, added := serverID(3, MethodDR), serverID(4, MethodDR)
	keyC := Key{Addr: netip.MustParseAddrPort("192.0.2.12:80"), Proto: 6}
	mustDo(t, r.PutServer(back, Server{State: ServerDown}))
	v, err := r.view()
	mustDo(t, err)
	up(t, r.Maps, back, added)
	mustDo(t, r.PutForward(keyC, Forward{Ring: ringOfAll(1, 8, added)}))
	mustDo(t, r.PutServer(r.b, Server{State: ServerDown}))
	for port, f := range []struct {
		k  Key
		at ServerID
	}{{keyA, back}, {keyA, added}, {keyC, added}, {keyA, r.b}} {
		r.note(t, r.engine.Flows, port, f.k, r.rowOf[f.at], bpf.DirectorFlowStateFLOW_OPEN, 0)
	}
	s := r.sweeper(v)
	mustDo(t, s.flows(r.engine.Flows))
	wantSame(t, "flows to each", map[ServerID]int{back: 1, added: 2}, s.census().Flows)
	if left := r.ports(t); len(left) != 3 {
		t.Errorf("left %v", left)
	}
}
