// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"net/netip"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// Want is all that maitred wants to be in the kernel. It is not changed once it
// is made.
type Want struct {
	Pages       map[maps.PageID]maps.Page
	Rows        map[config.Virtual]maps.Service
	Virtuals    map[config.Virtual]Forward
	Addresses   map[Address]bool
	Attachments map[string]config.Attach // by interface
	Settings    map[string]string        // knobs of the kernel, by name: see Sysctls
	Errands     map[Mark]Errand          // of checks that take the way of the data, by IPVS
	// What the eBPF engine forwards by. Setting is nil where it neither forwards nor
	// takes in what servers answer to checks.
	Setting *maps.Setting
	Servers map[maps.ServerID]Server
	Shares  map[config.Virtual]Share
	Backs   map[maps.Key][]Back
	Marks   map[uint32]maps.ServerID // of checks that take the way of the data, by eBPF
	Devices map[int]bool             // by index: whether it sends what XDP redirects to it
	// Leave names what is not decided yet: whatever the kernel holds for these,
	// rows, destinations and addresses, stays as it is.
	Leave map[config.Virtual]bool
	// Notices are what an operator should hear of: what is wanted and can't be had
	// on this machine.
	Notices []string
}

// Forward is an IPVS service with its destinations. What is there and not named
// gets no new connections, and goes when it has none left.
type Forward struct {
	Scheduler    string
	Ports        bool // mh and sh go by the client's port as well
	Destinations map[netip.AddrPort]Destination
	// Altered tells that the service in the kernel has flags that maitred never
	// sets, such as persistence. It is never wanted.
	Altered bool
}

// Destination is a real server of an IPVS service.
type Destination struct {
	Local  bool // this machine, at the service's own address; without a method
	Method config.Method
	Tunnel config.Tunnel // of method tun
	Weight int           // zero: keeps its connections and gets no new ones
	// Keep wants the destination as it is if it is there, and absent if not.
	Keep bool
	// Dead wants the destination absent at once, whatever connections it has.
	Dead bool
	// Altered tells that the destination in the kernel has thresholds or options
	// of a tunnel that maitred never sets. It is never wanted.
	Altered bool
}

// Address is an address on an interface.
type Address struct {
	Interface string
	Addr      netip.Addr
}

// String is the interface and the address, with a space between.
func (a Address) String() string { return a.Interface + " " + a.Addr.String() }

// serves tells which virtual services an address stands for.
func (w Want) serves(a netip.Addr) []Group {
	var groups []Group
	for v := range w.Rows {
		if v.Addr.Addr() == a {
			groups = append(groups, virtualGroup(v))
		}
	}
	for v := range w.Virtuals {
		if _, also := w.Rows[v]; !also && v.Addr.Addr() == a {
			groups = append(groups, virtualGroup(v))
		}
	}
	return groups
}

// attaches tells what must hold before anything leaves an interface.
func (w Want) attaches() []Group {
	groups := []Group{readGroup(attachments)}
	for name := range w.Attachments {
		groups = append(groups, interfaceGroup(name))
	}
	return groups
}

// moves tells whether an address is wanted, on whatever interface.
func (w Want) moves(a netip.Addr) bool {
	for wanted := range w.Addresses {
		if wanted.Addr == a {
			return true
		}
	}
	return false
}

// leaves tells whether a service that is not decided yet has the address.
func (w Want) leaves(a netip.Addr) bool {
	for v := range w.Leave {
		if v.Addr.Addr() == a {
			return true
		}
	}
	return false
}

func virtualName(v config.Virtual) string { return v.Addr.String() + "/" + string(v.Proto) }

func pageName(id maps.PageID) string { return fmt.Sprintf("%016x", uint64(id)) }
