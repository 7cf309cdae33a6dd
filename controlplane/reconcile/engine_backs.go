// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

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
		return maps.Key{Addr: at, Proto: keyOf(v).Proto}, true
	case maps.MethodTUN:
		return maps.Key{Addr: netip.AddrPortFrom(at.Addr(), 0), Proto: protoIPIP}, true
	case maps.MethodDR:
	}
	return maps.Key{}, false
}

// planBacks leads answers back before anything is sent that is answered, and as
// long as there is somebody left to answer: services that are not decided and
// servers that leave keep what they have.
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
		was, there := has.backs[key]
		wanted, any := has.wantedBack(w, key)
		kept := slices.DeleteFunc(slices.Clone(was), func(k maps.Key) bool { return !w.Leave[virtualOf(k)] })
		wanted = joined(wanted, kept)
		any = any || len(kept) > 0 || there && key.Proto == protoIPIP && len(w.Leave) > 0
		more := joined(was, wanted)
		if len(more) > len(was) || any && !there {
			if len(more) > backMost {
				more = wanted
			}
			effects = append(effects, has.putBack(key, more))
		}
		if len(more) > len(wanted) || there && !any {
			shrink := has.shrinkBack(key, wanted, any, lingering(left, key))
			for _, k := range more {
				if !slices.Contains(wanted, k) {
					shrink.Needs = append(shrink.Needs, virtualGroup(virtualOf(k)))
				}
			}
			effects = append(effects, shrink)
		}
	}
	return effects
}

// backMost is how many services one address and port of a server can answer for
// (BACK_MAX of bpf/include/types.h).
const backMost = 16

// wantedBack is which services are answered from there by a server that stays;
// false: none, and nothing is wanted there.
func (has balanceRows) wantedBack(w Want, key maps.Key) ([]maps.Key, bool) {
	var services, full []maps.Key
	any := false
	for _, b := range w.Backs[key] {
		if !has.stays(w, b.Server) {
			continue
		}
		any = true
		switch b.Server.Method {
		case maps.MethodNAT:
			services = append(services, keyOf(b.Service))
		case maps.MethodFullNAT: // finds its flows without: there may be any number
			full = append(full, keyOf(b.Service))
		case maps.MethodTUN, maps.MethodDR:
		}
	}
	room := max(0, backMost-len(joined(services, nil)))
	full = joined(full, nil)
	return joined(services, full[:min(len(full), room)]), any
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

func (has balanceRows) putBack(key maps.Key, services []maps.Key) Effect {
	return Effect{
		Rank: RankBack, Group: backGroup(key), What: fmt.Sprintf("put way back from %s to %s", backName(key), backNames(services)),
		Do: func() error { return has.tables.PutBack(key, services) },
	}
}

// shrinkBack takes services away, or the whole row, once the servers that leave
// are gone.
func (has balanceRows) shrinkBack(key maps.Key, services []maps.Key, any bool, left []*departed) Effect {
	e := Effect{
		Rank: RankNoBack, Group: backGroup(key), Tidy: len(left) > 0,
		What: fmt.Sprintf("leave of the way back from %s that to %s", backName(key), backNames(services)),
	}
	change := func() error { return has.tables.PutBack(key, services) }
	if !any {
		e.What = "delete way back from " + backName(key)
		change = func() error { return has.tables.DeleteBack(key) }
	}
	e.Do = func() error {
		if slices.ContainsFunc(left, func(d *departed) bool { return !d.gone }) {
			return errLater
		}
		return change()
	}
	return e
}

func backName(k maps.Key) string {
	if k.Proto == protoIPIP {
		return k.Addr.Addr().String() + " through a tunnel"
	}
	return virtualName(virtualOf(k))
}

func backNames(services []maps.Key) string {
	if len(services) == 0 {
		return "the director"
	}
	names := make([]string, len(services))
	for i, k := range services {
		names[i] = virtualName(virtualOf(k))
	}
	return strings.Join(names, " ")
}
