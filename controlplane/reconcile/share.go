// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"strconv"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/ring"
	"github.com/maitred-lb/maitred/maps"
)

// Server is a real server as the eBPF engine has it, for one pool and one method.
type Server struct {
	maps.Server
	Name string // as operators know it: pool/name
	// Keep wants the state that the server is in. State is then for a server that
	// is not there; zero: it stays absent.
	Keep bool
}

// Share is how the eBPF engine shares out the flows of a virtual service. Which of
// the members are up is for the rows of the servers to say.
type Share struct {
	Spread maps.Spread
	Down   maps.Down
	// Members are all servers of the service, whatever their state.
	Members []Member
	// Idle are further servers, which get no new flows and go on with those that
	// they have.
	Idle []maps.ServerID
	// Mute takes no flows at all.
	Mute bool
}

// Member is a server of a Share.
type Member struct {
	Server maps.ServerID
	Weight int // the share that it gets while it is up
}

// Back is who may be answered from an address and port of a server.
type Back struct {
	Server  maps.ServerID
	Service config.Virtual
}

// ServerID is what the eBPF engine calls a real server of a service.
func ServerID(s config.Service, server config.Server) maps.ServerID {
	if server.Local {
		return maps.ServerID{Pool: poolID(s.Pool), Addr: netip.AddrPortFrom(s.Addresses[0], 0), Method: maps.MethodLocal}
	}
	id := maps.ServerID{
		Pool: poolID(s.Pool), Addr: netip.AddrPortFrom(server.Address, server.Port), Method: method(s.Method),
	}
	if t := tunnel(s); t.Kind == config.TunnelGUE {
		id.Tunnel, id.TunnelPort = maps.TunnelGUE, t.Port
	}
	return id
}

func poolID(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return h.Sum64()
}

func method(m config.Method) maps.Method {
	switch m {
	case config.NAT:
		return maps.MethodNAT
	case config.FULLNAT:
		return maps.MethodFullNAT
	case config.TUN:
		return maps.MethodTUN
	case config.DR:
	}
	return maps.MethodDR
}

// draw is what a ring is made from: everything that makes a difference to it.
type draw struct {
	spread  maps.Spread
	members []drawn
}

// drawn is a member of a draw. One that is out gets no slots, and where hashes go
// by the ring the others share out those that it would have: none of theirs moves.
type drawn struct {
	Member
	out bool
}

// draw gives slots to the members that are up. If none is, all of those that are
// there stay in the ring: no flow is new to them, but those that they have go on
// to their fate. state tells how a server is; zero: it is not there.
func (s Share) draw(state func(maps.ServerID) maps.ServerState) draw {
	d := draw{spread: s.Spread, members: make([]drawn, len(s.Members))}
	up := false
	for i, m := range s.Members {
		d.members[i] = drawn{m, s.Mute || state(m.Server) != maps.ServerUp}
		up = up || !d.members[i].out
	}
	if up || s.Mute {
		return d
	}
	for i, m := range s.Members {
		d.members[i].out = state(m.Server) == 0
	}
	return d
}

// has tells whether a member that ok is true of has slots.
func (d draw) has(ok func(maps.ServerID) bool) bool {
	for _, m := range d.members {
		if m.Weight > 0 && !m.out && ok(m.Server) {
			return true
		}
	}
	return false
}

// drawVersion is part of every digest. It is to grow when the same members get
// other slots than before.
const drawVersion = 2

// digest is of all that the slots follow from: a ring need not be made to be
// compared with the kernel's.
func (d draw) digest() uint64 {
	h := fnv.New64a()
	text := []byte{drawVersion, byte(d.spread)}
	for _, m := range d.members {
		text = m.Server.Addr.AppendTo(text)
		text = binary.BigEndian.AppendUint64(text, m.Server.Pool)
		text = append(text, byte(m.Server.Method), byte(m.Server.Tunnel))
		text = binary.BigEndian.AppendUint16(text, m.Server.TunnelPort)
		text = binary.BigEndian.AppendUint32(text, uint32(m.Weight))
		text = strconv.AppendBool(text, m.out)
		_, _ = h.Write(text) // never fails
		text = text[:0]
	}
	_, _ = h.Write(text)
	return h.Sum64()
}

// ring makes the ring. Members without slots are not named in it: they need not be
// there.
func (d draw) ring() maps.Ring {
	members := make([]ring.Member, len(d.members))
	for i, m := range d.members {
		members[i] = ring.Member{Name: m.Server.Addr.String(), Weight: m.Weight, Out: m.out}
	}
	var slots []uint16
	switch d.spread {
	case maps.SpreadTurn:
		slots = ring.Turns(members)
	case maps.SpreadAddress, maps.SpreadPort:
		slots = ring.Maglev(members)
	}
	out := maps.Ring{Digest: d.digest(), Slots: make([]uint16, len(slots))}
	named := make([]int, len(members)) // one more than the index in out.Servers
	for i, member := range slots {
		if named[member] == 0 {
			out.Servers = append(out.Servers, d.members[member].Server)
			named[member] = len(out.Servers)
		}
		out.Slots[i] = uint16(named[member] - 1)
	}
	return out
}

// spread is how a scheduler shares out. rr and wrr take turns, mh and sh hash.
func spread(s config.Service, scheduler string) maps.Spread {
	switch {
	case !hashes(scheduler):
		return maps.SpreadTurn
	case s.Hash == config.HashPort:
		return maps.SpreadPort
	}
	return maps.SpreadAddress
}

func down(o config.OnDown) maps.Down {
	switch o {
	case config.OnDownRepick:
		return maps.DownRepick
	case config.OnDownKeep:
		return maps.DownKeep
	case config.OnDownReset:
	}
	return maps.DownReset
}
