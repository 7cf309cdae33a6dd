// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// wantedDraw is what the ring of a service is to be made from.
func (has balanceRows) wantedDraw(w Want, share Share) draw {
	return share.draw(func(id maps.ServerID) maps.ServerState { return has.state(w, id) })
}

func (has balanceRows) planShares(w Want) []Effect {
	var effects []Effect
	for v, share := range w.Shares {
		d := has.wantedDraw(w, share)
		was, there := has.shares[v]
		if !there {
			effects = append(effects, has.reserve(v, share))
		}
		if !there || was.Spread != share.Spread || was.Down != share.Down || was.Ring.Digest != d.digest() {
			effects = append(effects, has.putShare(w, v, d))
		} else if rising := has.rising(w, d); len(rising) > 0 {
			effects = append(effects, await(v, rising))
		}
	}
	for v := range has.shares {
		if _, wanted := w.Shares[v]; !wanted && !w.Leave[v] {
			effects = append(effects, has.deleteShare(v))
		}
	}
	return effects
}

// reserve has a place for a service before anything leads back to it.
func (has balanceRows) reserve(v config.Virtual, share Share) Effect {
	return Effect{
		Rank: RankReserve, Group: reserveGroup(v), Needs: []Group{settingGroup},
		What: fmt.Sprintf("have a place for %s in the tables of eBPF", virtualName(v)),
		Do: func() error {
			return has.tables.PutForward(KeyOf(v), maps.Forward{Spread: share.Spread, Down: share.Down})
		},
	}
}

// putShare makes the ring, which takes its time, only when its turn has come.
func (has balanceRows) putShare(w Want, v config.Virtual, d draw) Effect {
	share := w.Shares[v]
	e := Effect{
		Rank: RankRing, Group: virtualGroup(v), Needs: []Group{settingGroup, reserveGroup(v)},
		What: fmt.Sprintf("forward %s by eBPF, %s", virtualName(v), d.text(share.Down)),
		Do: func() error {
			return has.tables.PutForward(KeyOf(v), maps.Forward{Spread: share.Spread, Down: share.Down, Ring: has.ring(d)})
		},
	}
	if e.Yields = !has.alone(w, v); !e.Yields {
		e.Rank = RankFirstRing
	}
	e.Needs = append(e.Needs, has.rising(w, d)...)
	for _, m := range d.members {
		if _, there := has.servers[m.Server]; m.Weight > 0 && !there {
			e.Needs = append(e.Needs, serverGroup(m.Server))
		}
		if key, ok := backOf(m.Server, v); ok && !has.leadsBack(key, KeyOf(v)) {
			e.Needs = append(e.Needs, backGroup(key), wayGroup(key, KeyOf(v)))
		}
	}
	return e
}

// ring makes a ring, unless this pass has made one like it already.
func (has balanceRows) ring(d draw) maps.Ring {
	digest := d.digest()
	ring, there := has.made[digest]
	if !there {
		ring = d.ring()
		has.made[digest] = ring
	}
	return ring
}

// rising are the members that are not up yet and will be.
func (has balanceRows) rising(w Want, d draw) []Group {
	var groups []Group
	for _, m := range d.members {
		if has.servers[m.Server].State != maps.ServerUp && has.state(w, m.Server) == maps.ServerUp {
			groups = append(groups, serverGroup(m.Server))
		}
	}
	return groups
}

// await does nothing: it holds back what comes after it for a service whose ring is
// as it should be, but whose servers could not be put up.
func await(v config.Virtual, servers []Group) Effect {
	return Effect{
		Rank: RankRing, Group: virtualGroup(v), Needs: servers, Tidy: true,
		What: "await the servers of " + virtualName(v), Do: func() error { return errLater },
	}
}

// text says what is drawn, and tells it from all else that could be.
func (d draw) text(fate maps.Down) string {
	slots := 0
	for _, m := range d.members {
		if m.Weight > 0 {
			slots++
		}
	}
	how := "in turn"
	switch d.spread {
	case maps.SpreadAddress:
		how = "by the client's address"
	case maps.SpreadPort:
		how = "by the client's address and port"
	case maps.SpreadTurn:
	}
	then := "reset"
	switch fate {
	case maps.DownRepick:
		then = "picked again"
	case maps.DownKeep:
		then = "kept"
	case maps.DownReset:
	}
	return fmt.Sprintf("%s to %d of %d servers, those of a dead one %s, ring %016x", how, slots, len(d.members), then, d.digest())
}

func (has balanceRows) deleteShare(v config.Virtual) Effect {
	return Effect{
		Rank: RankNoForward, Group: virtualGroup(v), Needs: []Group{addressGroup(v.Addr.Addr())},
		What: fmt.Sprintf("forward %s no more by eBPF", virtualName(v)),
		Do:   func() error { return has.tables.DeleteForward(KeyOf(v)) },
	}
}
