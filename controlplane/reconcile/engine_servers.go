// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"fmt"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// state is how a server will be once its row is as it is wanted; zero: absent.
func (has balanceRows) state(w Want, id maps.ServerID) maps.ServerState {
	s, wanted := w.Servers[id]
	was, there := has.servers[id]
	if !wanted || s.Keep && there {
		return was.State
	}
	return s.State
}

// stays tells whether a server is there once its row is as it is wanted.
func (has balanceRows) stays(w Want, id maps.ServerID) bool { return has.state(w, id) != 0 }

// departed is a server that is not wanted any more. It drains, and is freed by the
// first pass that finds no flow to it and no ring that names it.
type departed struct{ gone bool }

// leaving is who that is.
func (has balanceRows) leaving(w Want) map[maps.ServerID]*departed {
	left := map[maps.ServerID]*departed{}
	for id := range has.servers {
		if _, wanted := w.Servers[id]; !wanted {
			left[id] = &departed{}
		}
	}
	return left
}

func (has balanceRows) planServers(w Want, left map[maps.ServerID]*departed) []Effect {
	var effects []Effect
	last := has.lasts(w)
	for id := range w.Servers {
		row := w.Servers[id].Server
		if row.State = has.state(w, id); row.State == 0 {
			continue
		}
		if was, there := has.servers[id]; was != row {
			effects = append(effects, has.putServer(w.nameOf(id), id, row, there && was.State != row.State, last[id]))
		}
	}
	if len(w.Leave) > 0 {
		return effects // who serves what is not decided, only its ring knows: nobody leaves
	}
	var changing []Group
	if len(left) > 0 {
		changing = has.rings(w)
	}
	for id, d := range left {
		was := has.servers[id]
		if was.State == maps.ServerUp {
			was.State = maps.ServerDrain
			drain := has.putServer(w.nameOf(id), id, was, true, nil)
			drain.Needs = append(drain.Needs, changing...)
			effects = append(effects, drain)
		}
		free := has.free(w.nameOf(id), id, d)
		free.Needs = changing // the tables know of no ring that another process has put
		effects = append(effects, free)
	}
	return effects
}

// rings are the services whose rings change: one that can't be changed may go on
// with servers that are not wanted any more.
func (has balanceRows) rings(w Want) []Group {
	var groups []Group
	for v, share := range w.Shares {
		if was, there := has.shares[v]; there && was.Ring.Digest != has.wantedDraw(w, share).digest() {
			groups = append(groups, virtualGroup(v))
		}
	}
	return groups
}

// putServer puts a row. Where a server is taken out, the services that it is the
// last server of have to know before.
func (has balanceRows) putServer(name string, id maps.ServerID, row maps.Server, turns bool, last []Group) Effect {
	e := Effect{
		Rank: RankServer, Group: serverGroup(id), Needs: []Group{settingGroup},
		What: fmt.Sprintf("put server %s, %s", name, stateText(row.State)),
		Do:   func() error { return has.tables.PutServer(id, row) },
	}
	switch {
	case turns && row.State == maps.ServerDown && len(last) == 0:
		e.Rank, e.Needs = RankDeath, nil
	case turns && row.State == maps.ServerDown:
		e.Rank, e.Needs = RankLastDeath, last
	case turns && row.State == maps.ServerDrain:
		e.Rank, e.Needs = RankDrain, last
	}
	return e
}

func (has balanceRows) free(name string, id maps.ServerID, d *departed) Effect {
	return Effect{
		Rank: RankNoServer, Group: serverGroup(id), What: "free server " + name, Tidy: true,
		Do: func() error {
			err := has.tables.DeleteServer(id)
			if errors.Is(err, maps.ErrServerInUse) {
				return errLater
			}
			d.gone = err == nil
			return err
		},
	}
}

// lasts tells for each server which services will have none up of those that their
// rings have now.
func (has balanceRows) lasts(w Want) map[maps.ServerID][]Group {
	last := map[maps.ServerID][]Group{}
	for v, share := range w.Shares {
		if !has.alone(w, v) {
			continue
		}
		for _, m := range share.Members {
			last[m.Server] = append(last[m.Server], virtualGroup(v))
		}
		for _, id := range share.Idle { // in its ring, perhaps, until it is put anew
			last[id] = append(last[id], virtualGroup(v))
		}
	}
	return last
}

// alone tells whether none of the servers in the ring that a service has now will
// be up. What a ring has is not to be read: it is known where it is the ring that
// the servers that are up now would have, else it counts as nobody.
func (has balanceRows) alone(w Want, v config.Virtual) bool {
	share := w.Shares[v]
	share.Mute = false
	now := share.draw(func(id maps.ServerID) maps.ServerState { return has.servers[id].State })
	if was, there := has.shares[v]; !there || now.digest() != was.Ring.Digest {
		return true
	}
	return !now.has(func(id maps.ServerID) bool { return has.state(w, id) == maps.ServerUp })
}

// nameOf is what people call a server.
func (w Want) nameOf(id maps.ServerID) string {
	text := id.Addr.String() + " by " + methodText(id)
	if s, wanted := w.Servers[id]; wanted {
		return s.Name + ", " + text
	}
	return text
}

func methodText(id maps.ServerID) string {
	switch id.Method {
	case maps.MethodTUN:
		if id.Tunnel == maps.TunnelGUE {
			return fmt.Sprintf("gue to port %d", id.TunnelPort)
		}
		return "ipip"
	case maps.MethodNAT:
		return string(config.NAT)
	case maps.MethodFullNAT:
		return string(config.FULLNAT)
	case maps.MethodLocal:
		return localText
	case maps.MethodDR:
	}
	return string(config.DR)
}

func stateText(s maps.ServerState) string {
	switch s {
	case maps.ServerUp:
		return "up"
	case maps.ServerDrain:
		return "drain"
	case maps.ServerDown:
		return "down"
	}
	return "absent"
}
