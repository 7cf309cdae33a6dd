// SPDX-License-Identifier: Apache-2.0

// Package fake is a kernel in memory, for tests of what changes the kernel. It
// knows what each part of the real one would hold after the same calls, and can
// be told to fail any of them. It must not know what is wanted.
package fake

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	kernel "github.com/maitred-lb/maitred/maps"
)

// Kernel holds what a kernel would. Its exported fields may be read and changed
// between calls, as another program would change the real one; while the engine
// runs only inside With.
type Kernel struct {
	mu sync.Mutex

	PageTable   map[kernel.PageID]kernel.Page
	RowTable    map[kernel.Key]kernel.Service
	IPVS        map[config.Virtual]reconcile.Forward
	Busy        map[netip.AddrPort]bool // destinations with connections
	ErrandTable map[reconcile.Mark]reconcile.Errand
	AddrTable   map[reconcile.Address]bool
	Links       map[string]int  // index by name
	Silent      map[string]bool // links without a carrier
	Announced   []reconcile.Address
	Engines     map[string]kernel.Attachment
	KnobTable   map[string]string
	// What the eBPF engine has. InUse are servers with flows.
	ServerTable map[kernel.ServerID]kernel.Server
	ShareTable  map[kernel.Key]kernel.Forward
	BackTable   map[kernel.Key][]kernel.Key
	MarkTable   map[uint32]kernel.ServerID
	DeviceTable map[int]bool
	Setting     kernel.Setting
	Probed      bool
	InUse       map[kernel.ServerID]bool

	// Fail, if not nil, is asked before every call; the call fails with the
	// error that it returns and changes nothing.
	Fail func(call string) error
	// Changed, if not nil, is told of every call that has changed something.
	Changed func(call string)
}

// New is a kernel with the interfaces eth0 and eth1 and nothing of anybody's.
func New() *Kernel {
	return &Kernel{
		PageTable: map[kernel.PageID]kernel.Page{}, RowTable: map[kernel.Key]kernel.Service{},
		IPVS: map[config.Virtual]reconcile.Forward{}, AddrTable: map[reconcile.Address]bool{},
		Links: map[string]int{"eth0": 2, "eth1": 3}, Silent: map[string]bool{}, Engines: map[string]kernel.Attachment{},
		KnobTable: map[string]string{
			"expire_nodest_conn": "0", "conn_reuse_mode": "0", "net/ipv4/conf/lo/accept_local": "0",
		},
		ServerTable: map[kernel.ServerID]kernel.Server{}, ShareTable: map[kernel.Key]kernel.Forward{},
		BackTable: map[kernel.Key][]kernel.Key{}, MarkTable: map[uint32]kernel.ServerID{},
		DeviceTable: map[int]bool{}, InUse: map[kernel.ServerID]bool{}, ErrandTable: map[reconcile.Mark]reconcile.Errand{},
	}
}

// Targets are the reconciler's targets on this kernel.
func (k *Kernel) Targets(ledger *reconcile.Ledger) []reconcile.Target {
	return []reconcile.Target{
		reconcile.NewSorry(k, k), reconcile.NewAttachments(k), reconcile.NewSettings(k, ledger),
		reconcile.NewVirtuals(k, k, ledger), reconcile.NewErrands(k), reconcile.NewBalance(k),
		reconcile.NewAddresses(k, ledger),
	}
}

// With runs f while no call is under way.
func (k *Kernel) With(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// read is a call that changes nothing.
func read[T any](k *Kernel, call string, f func() T) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Fail != nil {
		if err := k.Fail(call); err != nil {
			var none T
			return none, err
		}
	}
	return f(), nil
}

// change is a call that changes something.
func (k *Kernel) change(f func() error, call string, args ...any) error {
	call = fmt.Sprintf(call, args...)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Fail != nil {
		if err := k.Fail(call); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	if k.Changed != nil {
		k.Changed(call)
	}
	return nil
}

// Pages implements reconcile.PageMap.
func (k *Kernel) Pages() ([]kernel.PageID, error) {
	return read(k, "read pages", func() []kernel.PageID { return slices.Sorted(maps.Keys(k.PageTable)) })
}

// PutPage implements reconcile.PageMap.
func (k *Kernel) PutPage(p kernel.Page) error {
	return k.change(func() error {
		k.PageTable[p.ID] = p
		return nil
	}, "put page %d", p.ID)
}

// DeletePage implements reconcile.PageMap.
func (k *Kernel) DeletePage(id kernel.PageID) error {
	return k.change(func() error {
		for _, row := range k.RowTable {
			if row.Page == id {
				return kernel.ErrPageInUse
			}
		}
		delete(k.PageTable, id)
		return nil
	}, "delete page %d", id)
}

// Services implements reconcile.ServiceMap.
func (k *Kernel) Services() (map[kernel.Key]kernel.Service, error) {
	return read(k, "read rows", func() map[kernel.Key]kernel.Service { return maps.Clone(k.RowTable) })
}

// PutService implements reconcile.ServiceMap.
func (k *Kernel) PutService(key kernel.Key, s kernel.Service) error {
	return k.change(func() error {
		if _, ok := k.PageTable[s.Page]; s.Page != 0 && !ok {
			return fmt.Errorf("page %d is not in the kernel", s.Page)
		}
		k.RowTable[key] = s
		return nil
	}, "put row %s mode %d", key.Addr, s.Mode)
}

// DeleteService implements reconcile.ServiceMap.
func (k *Kernel) DeleteService(key kernel.Key) error {
	return k.change(func() error {
		delete(k.RowTable, key)
		return nil
	}, "delete row %s", key.Addr)
}

// Virtuals implements reconcile.VirtualTable.
func (k *Kernel) Virtuals() (map[config.Virtual]reconcile.Forward, error) {
	return read(k, "read virtuals", func() map[config.Virtual]reconcile.Forward {
		out := map[config.Virtual]reconcile.Forward{}
		for v, f := range k.IPVS {
			f.Destinations = maps.Clone(f.Destinations)
			out[v] = f
		}
		return out
	})
}

// PutVirtual implements reconcile.VirtualTable.
func (k *Kernel) PutVirtual(v config.Virtual, want reconcile.Forward) error {
	return k.change(func() error {
		f, there := k.IPVS[v]
		if !there {
			f.Destinations = map[netip.AddrPort]reconcile.Destination{}
		}
		f.Scheduler, f.Ports, f.Altered = want.Scheduler, want.Ports, false
		k.IPVS[v] = f
		return nil
	}, "put virtual %s", v.Addr)
}

// DeleteVirtual implements reconcile.VirtualTable.
func (k *Kernel) DeleteVirtual(v config.Virtual) error {
	return k.change(func() error {
		delete(k.IPVS, v)
		return nil
	}, "delete virtual %s", v.Addr)
}

// PutDestination implements reconcile.DestinationTable.
func (k *Kernel) PutDestination(v config.Virtual, server netip.AddrPort, d reconcile.Destination) error {
	return k.change(func() error {
		f, there := k.IPVS[v]
		if !there {
			return fmt.Errorf("no service %s", v.Addr)
		}
		f.Destinations[server] = d
		return nil
	}, "put destination %s of %s weight %d", server, v.Addr, d.Weight)
}

// Idle implements reconcile.DestinationTable.
func (k *Kernel) Idle(v config.Virtual, server netip.AddrPort) (bool, error) {
	return read(k, fmt.Sprintf("read connections to %s of %s", server, v.Addr), func() bool { return !k.Busy[server] })
}

// DeleteDestination implements reconcile.DestinationTable.
func (k *Kernel) DeleteDestination(v config.Virtual, server netip.AddrPort) error {
	return k.change(func() error {
		delete(k.IPVS[v].Destinations, server)
		return nil
	}, "delete destination %s of %s", server, v.Addr)
}
