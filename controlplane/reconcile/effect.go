// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// Rank is the place of an effect in a pass, lowest first.
type Rank int

// The order in which the kernel is changed. What is pointed at comes before what
// points at it, and goes after it. A client's packet comes in by an address,
// meets the service's row, and goes on to a page, to IPVS, or by a ring to a
// server: so addresses come last and go first. A death is one write, and waits for
// nothing but what services need to know that would have nobody left.
const (
	RankPage        Rank = 10  // put a page
	RankSorry       Rank = 20  // put a row that says sorry with it
	RankSetting     Rank = 25  // set a knob of the kernel
	RankVirtual     Rank = 30  // put an IPVS service of clients
	RankEngine      Rank = 35  // set up the eBPF engine: settings, devices
	RankDeath       Rank = 38  // put a server down that is the last one of no service
	RankDestination Rank = 40  // put an IPVS destination that takes connections
	RankServer      Rank = 40  // put a server of the eBPF engine that takes flows, or a new one
	RankReserve     Rank = 41  // have a place for a service, forwarded to nobody
	RankMark        Rank = 41  // lead a check's packets to a server, by either engine
	RankBack        Rank = 42  // lead a server's answers back
	RankFirstRing   Rank = 45  // put a ring, where no server of the one before will be up
	RankLastDeath   Rank = 46  // put a server down that is the last one of a service
	RankRing        Rank = 47  // put a ring
	RankServe       Rank = 50  // put a row that serves or lingers
	RankAttach      Rank = 55  // attach the programs
	RankAddress     Rank = 60  // add an address
	RankAnnounce    Rank = 65  // tell the neighbours of an address
	RankNoAddress   Rank = 70  // remove an address
	RankNoDest      Rank = 80  // take new connections from a destination, or delete it
	RankDrain       Rank = 80  // take new flows from a server
	RankNoMark      Rank = 84  // lead no more packets of a check to a server
	RankRetired     Rank = 85  // delete a destination that has no connections left
	RankNoVirtual   Rank = 90  // delete an IPVS service
	RankNoForward   Rank = 90  // forward a service no more by eBPF
	RankNoServer    Rank = 95  // free a server that has no flows left, and is in no ring
	RankNoBack      Rank = 96  // lead no answers back
	RankNoRow       Rank = 100 // delete a row
	RankDetach      Rank = 105 // detach the programs
	RankNoPage      Rank = 110 // delete a page
	RankNoDevice    Rank = 115 // forget an interface
	RankRestore     Rank = 120 // give a knob of the kernel its former value
)

// Effect is one change of the kernel.
type Effect struct {
	Rank  Rank
	Group Group
	// Needs are other groups whose failure holds the effect back.
	Needs []Group
	// What says what is done, for people: "put destination ...". Effects that
	// say the same are the same.
	What string
	// Yields tells that the effect takes its time, and may wait for the next pass
	// where something newer is wanted already.
	Yields bool
	// Tidy effects are housekeeping: never reported as the repair of drift.
	Tidy bool
	// Do carries it out. It may be repeated. errLater says that nothing was done,
	// and that a later pass is early enough.
	Do func() error
}

var errLater = errors.New("not yet")

// Group is what effects belong together for: once an effect fails or is held
// back, the later ones of its group are held back for the rest of the pass.
type Group string

func virtualGroup(v config.Virtual) Group { return Group("virtual " + virtualName(v)) }
func addressGroup(a netip.Addr) Group     { return Group("address " + a.String()) }
func interfaceGroup(name string) Group    { return Group("interface " + name) }
func serverGroup(id maps.ServerID) Group  { return Group(fmt.Sprintf("server %v", id)) }
func backGroup(k maps.Key) Group          { return Group("back " + backName(k)) }
func reserveGroup(v config.Virtual) Group { return Group("place of " + virtualName(v)) }
func pageGroup(id maps.PageID) Group      { return Group("page " + pageName(id)) }

// readGroup fails when a target can't be read: what it would have done is then
// not even planned.
func readGroup(target string) Group { return Group("read " + target) }

// inOrder sorts effects by rank; within a rank the order is fixed but means
// nothing.
func inOrder(steps []step) {
	slices.SortFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Group, b.Group), cmp.Compare(a.What, b.What))
	})
}
