// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// backOf is where the table of ways back has a server of a service: where its
// answers come from, or that it is the end of a tunnel.
func backOf(id maps.ServerID, v config.Virtual) (maps.Key, bool) {
	at := id.Addr
	if at.Port() == 0 {
		at = netip.AddrPortFrom(at.Addr(), v.Addr.Port())
	}
	switch id.Method {
	case maps.MethodNAT, maps.MethodFullNAT:
		return maps.Key{Addr: at, Proto: KeyOf(v).Proto}, true
	case maps.MethodTUN:
		return maps.Key{Addr: netip.AddrPortFrom(at.Addr(), 0), Proto: protoIPIP}, true
	case maps.MethodDR, maps.MethodLocal:
	}
	return maps.Key{}, false
}

// backList is the services that one address and port of a server is answered for,
// as a pass goes on.
type backList struct {
	tables   BackTable
	key      maps.Key
	services []maps.Key
	stays    bool // the row, whoever is in it
}

// planBacks leads answers back before anything is sent that is answered, and as
// long as there is somebody left to answer: services that are not decided, and
// servers that leave and still have flows of services that stay, keep what they
// have.
func (has balanceRows) planBacks(w Want, left map[maps.ServerID]*departed) []Effect {
	var effects []Effect
	keys := map[maps.Key]bool{}
	for key := range w.Backs {
		keys[key] = true
	}
	for key := range has.backs {
		keys[key] = true
	}
	for key := range keys {
		effects = append(effects, has.planBack(w, key, lingering(left, key))...)
	}
	return effects
}

func (has balanceRows) planBack(w Want, key maps.Key, going []*departed) []Effect {
	var effects []Effect
	was, there := has.backs[key]
	// One that has no place any more, a pass that failed has left; it can't be written.
	known := only(was, func(k maps.Key) bool { _, ok := has.shares[VirtualOf(k)]; return ok || w.undecided(k) })
	wanted, stays := has.wantedBack(w, key)
	wanted = joined(wanted, only(known, w.undecided))
	stays = stays || len(wanted) > 0 || there && key.Proto == protoIPIP && len(w.Leave) > 0
	list := &backList{tables: has.tables, key: key, services: known, stays: stays}
	for _, k := range wanted {
		if !slices.Contains(known, k) {
			effects = append(effects, list.add(k, wanted))
		}
	}
	for _, k := range was {
		switch {
		case slices.Contains(wanted, k):
		case w.shares(k):
			effects = append(effects, list.drop(k, going))
		default: // with its flows
			effects = append(effects, list.drop(k, nil))
		}
	}
	switch empty := len(wanted)+len(was) == 0; {
	case stays && !there && empty:
		effects = append(effects, list.write())
	case !stays && there && empty:
		effects = append(effects, list.remove(going))
	}
	return effects
}

// undecided tells of a service whether what the kernel has for it is to stay.
func (w Want) undecided(k maps.Key) bool { return w.Leave[VirtualOf(k)] }

// shares tells whether a service is forwarded by the eBPF engine.
func (w Want) shares(k maps.Key) bool {
	_, ok := w.Shares[VirtualOf(k)]
	return ok
}

// leadsBack tells whether that is so already.
func (has balanceRows) leadsBack(key, service maps.Key) bool {
	services, there := has.backs[key]
	return there && (key.Proto == protoIPIP || slices.Contains(services, service))
}

func only(keys []maps.Key, ok func(maps.Key) bool) []maps.Key {
	return slices.DeleteFunc(slices.Clone(keys), func(k maps.Key) bool { return !ok(k) })
}

// backMost is how many services one address and port of a server can answer for
// (BACK_MAX of bpf/include/types.h).
const backMost = 16

// wantedBack is which services are answered from there by a server that stays;
// false: none, and nothing is wanted there.
func (has balanceRows) wantedBack(w Want, key maps.Key) ([]maps.Key, bool) {
	var services, full []maps.Key
	stays := false
	for _, b := range w.Backs[key] {
		if !has.stays(w, b.Server) {
			continue
		}
		stays = true
		switch b.Server.Method {
		case maps.MethodNAT:
			services = append(services, KeyOf(b.Service))
		case maps.MethodFullNAT: // finds its flows without: there may be any number
			full = append(full, KeyOf(b.Service))
		case maps.MethodTUN, maps.MethodDR, maps.MethodLocal:
		}
	}
	room := max(0, backMost-len(joined(services, nil)))
	full = joined(full, nil)
	return joined(services, full[:min(len(full), room)]), stays
}

// joined is all of both, in a fixed order.
func joined(a, b []maps.Key) []maps.Key {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(a, b maps.Key) int { return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Proto, b.Proto)) })
	return slices.Compact(all)
}

// lingering are the servers that leave and still answer from there.
func lingering(left map[maps.ServerID]*departed, key maps.Key) []*departed {
	var all []*departed
	for id, d := range left {
		tunnel := id.Method == maps.MethodTUN && key.Proto == protoIPIP
		masked := (id.Method == maps.MethodNAT || id.Method == maps.MethodFullNAT) && key.Proto != protoIPIP &&
			(id.Addr.Port() == 0 || id.Addr.Port() == key.Addr.Port())
		if id.Addr.Addr() == key.Addr.Addr() && (tunnel || masked) {
			all = append(all, d)
		}
	}
	return all
}

// wayGroup is what leads back from an address and port of a server to a service.
func wayGroup(key, service maps.Key) Group {
	return Group("way from " + backName(key) + " to " + virtualName(VirtualOf(service)))
}

// put writes the row with these services, and takes one away that nobody needs.
func (l *backList) put(services []maps.Key) (err error) {
	if len(services) == 0 && !l.stays {
		err = l.tables.DeleteBack(l.key)
	} else {
		err = l.tables.PutBack(l.key, services)
	}
	if err != nil {
		return err
	}
	l.services = services
	return nil
}

// add leads back to one more service. Where there is no room for those that are to
// go as well, they go now.
func (l *backList) add(k maps.Key, wanted []maps.Key) Effect {
	v := VirtualOf(k)
	return Effect{
		Rank: RankBack, Group: wayGroup(l.key, k), Needs: []Group{reserveGroup(v)},
		What: fmt.Sprintf("lead back from %s to %s", backName(l.key), virtualName(v)),
		Do: func() error {
			next := joined(l.services, []maps.Key{k})
			if len(next) > backMost {
				next = only(next, func(k maps.Key) bool { return slices.Contains(wanted, k) })
			}
			return l.put(next)
		},
	}
}

// drop leads back to a service no more, once the servers that it waits for are gone.
func (l *backList) drop(k maps.Key, going []*departed) Effect {
	v := VirtualOf(k)
	return Effect{
		Rank: RankNoBack, Group: virtualGroup(v), Tidy: len(going) > 0,
		What: fmt.Sprintf("lead back from %s to %s no more", backName(l.key), virtualName(v)),
		Do: func() error {
			if remain(going) {
				return errLater
			}
			next := only(l.services, func(o maps.Key) bool { return o != k })
			return l.put(next)
		},
	}
}

// write writes the row as it is to be where no service makes the difference.
func (l *backList) write() Effect {
	return Effect{
		Rank: RankBack, Group: backGroup(l.key), What: "put way back from " + backName(l.key),
		Do: func() error { return l.put(l.services) },
	}
}

// remove takes a row away that leads to nobody, once the servers that leave are
// gone.
func (l *backList) remove(going []*departed) Effect {
	return Effect{
		Rank: RankNoBack, Group: backGroup(l.key), What: "delete way back from " + backName(l.key), Tidy: len(going) > 0,
		Do: func() error {
			if remain(going) {
				return errLater
			}
			return l.put(nil)
		},
	}
}

// remain tells whether some are not gone yet.
func remain(going []*departed) bool {
	return slices.ContainsFunc(going, func(d *departed) bool { return !d.gone })
}

func backName(k maps.Key) string {
	if k.Proto == protoIPIP {
		return k.Addr.Addr().String() + " through a tunnel"
	}
	return virtualName(VirtualOf(k))
}
