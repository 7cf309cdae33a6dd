// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/maps"
)

// dangling tells what in the kernel points at nothing, on the way from one Want
// to the next; empty is none.
func dangling(k *fake.Kernel, from, to reconcile.Want) string {
	for key, row := range k.RowTable {
		if _, there := k.PageTable[row.Page]; row.Page != 0 && !there {
			return fmt.Sprintf("row %s names page %d, which is not there", key.Addr, row.Page)
		}
		v := virtual(key)
		_, stays := to.Rows[v]
		wanted := takes(from.Virtuals[v]) || takes(to.Virtuals[v])
		if stays && wanted && row.Mode != maps.ModeSorry && !takes(k.IPVS[v]) {
			return fmt.Sprintf("row %s serves, and no destination takes connections", key.Addr)
		}
		shared := wantsUp(from, v) || wantsUp(to, v)
		if stays && shared && row.Mode != maps.ModeSorry && !sharesOut(k, key) {
			return fmt.Sprintf("row %s serves, and no server of its ring takes flows", key.Addr)
		}
	}
	if what := unbalanced(k); what != "" {
		return what
	}
	for addr := range k.AddrTable {
		if what := behind(k, addr, from, to); what != "" {
			return what
		}
	}
	return ""
}

// behind tells what an address lacks of what must be there as long as it is: all
// that is wanted to be behind it, and, while it is on its way out, all that was.
func behind(k *fake.Kernel, addr reconcile.Address, from, to reconcile.Want) string {
	w := to
	if !to.Addresses[addr] {
		w = from
	}
	if !w.Addresses[addr] {
		return "" // somebody else's
	}
	for v := range w.Rows {
		if v.Addr.Addr() == addr.Addr && !hasRow(k, v) {
			return fmt.Sprintf("address %s has no row %s", addr, v.Addr)
		}
	}
	for v := range w.Shares {
		if _, ok := k.ShareTable[maps.Key{Addr: v.Addr, Proto: number(v.Proto)}]; v.Addr.Addr() == addr.Addr && !ok {
			return fmt.Sprintf("address %s has nobody behind %s who forwards", addr, v.Addr)
		}
	}
	for v, f := range w.Virtuals {
		there, ok := k.IPVS[v]
		if v.Addr.Addr() != addr.Addr {
			continue
		}
		if !ok || v.Proto == config.UDP && takes(f) && takes(from.Virtuals[v]) && !takes(there) {
			return fmt.Sprintf("address %s has no IPVS behind %s", addr, v.Addr)
		}
	}
	return ""
}

// unbalanced tells what in the tables of the eBPF engine points at nothing.
func unbalanced(k *fake.Kernel) string {
	for key, f := range k.ShareTable {
		if k.Setting.TCP == 0 {
			return fmt.Sprintf("%s is forwarded without settings", key.Addr)
		}
		for _, id := range f.Ring.Servers {
			if _, there := k.ServerTable[id]; !there {
				return fmt.Sprintf("the ring of %s names %s, which is not there", key.Addr, id.Addr)
			}
			if masked := id.Method == maps.MethodNAT || id.Method == maps.MethodFullNAT; masked && !slices.Contains(k.BackTable[maps.Key{Addr: id.Addr, Proto: key.Proto}], key) {
				return fmt.Sprintf("%s goes to %s, and there is no way back", key.Addr, id.Addr)
			}
			if id.Method == maps.MethodTUN {
				if _, there := k.BackTable[maps.Key{Addr: netip.AddrPortFrom(id.Addr.Addr(), 0), Proto: 4}]; !there {
					return fmt.Sprintf("%s goes to %s, which is no end of a tunnel", key.Addr, id.Addr)
				}
			}
		}
	}
	for back, services := range k.BackTable {
		for _, key := range services {
			_, row := k.RowTable[key]
			if _, there := k.ShareTable[key]; !there && !row {
				return fmt.Sprintf("%s leads back to %s, which is not there", back.Addr, key.Addr)
			}
		}
	}
	for mark, id := range k.MarkTable {
		if _, there := k.ServerTable[id]; !there {
			return fmt.Sprintf("mark %#x leads to %s, which is not there", mark, id.Addr)
		}
	}
	return ""
}

// sharesOut tells whether a server in the ring of a service takes flows.
func sharesOut(k *fake.Kernel, key maps.Key) bool {
	return slices.ContainsFunc(k.ShareTable[key].Ring.Servers, func(id maps.ServerID) bool {
		return k.ServerTable[id].State == maps.ServerUp
	})
}

func wantsUp(w reconcile.Want, v config.Virtual) bool {
	share := w.Shares[v]
	return !share.Mute && slices.ContainsFunc(share.Members, func(m reconcile.Member) bool {
		return w.Servers[m.Server].State == maps.ServerUp
	})
}

func takes(f reconcile.Forward) bool {
	for _, d := range f.Destinations {
		if d.Weight > 0 {
			return true
		}
	}
	return false
}

func hasRow(k *fake.Kernel, v config.Virtual) bool {
	_, ok := k.RowTable[maps.Key{Addr: v.Addr, Proto: number(v.Proto)}]
	return ok
}

func virtual(k maps.Key) config.Virtual {
	if k.Proto == 17 {
		return config.Virtual{Addr: k.Addr, Proto: config.UDP}
	}
	return config.Virtual{Addr: k.Addr, Proto: config.TCP}
}

func number(p config.Protocol) uint8 {
	if p == config.UDP {
		return 17
	}
	return 6
}

func tcp(addr string) config.Virtual {
	return config.Virtual{Addr: netip.MustParseAddrPort(addr), Proto: config.TCP}
}

func udp(addr string) config.Virtual {
	return config.Virtual{Addr: netip.MustParseAddrPort(addr), Proto: config.UDP}
}
