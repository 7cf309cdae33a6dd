// SPDX-License-Identifier: Apache-2.0

package maps

import "net/netip"

// Key is a row's key in the service map.
type Key struct {
	Addr  netip.AddrPort
	Proto uint8 // IP protocol number: 6 or 17
}

// Mode says what the kernel does with a packet to a virtual service.
type Mode uint8

// The modes of a service row.
const (
	ModeServe  Mode = iota // pass to forwarding
	ModeSorry              // answer with the page
	ModeLinger             // finish exchanges of the page, pass the rest
)

// Orphans says what the kernel does with a packet of a connection that it does
// not know while a service says sorry.
type Orphans uint8

// The fates of orphans.
const (
	OrphansReset Orphans = iota
	OrphansPass
	OrphansDrop
)

// PageID identifies a page in the kernel by the digest of its bytes.
type PageID uint64

// Service is a row of the service map.
type Service struct {
	Mode    Mode
	Orphans Orphans
	Page    PageID // what a new exchange is answered with; zero: none
}

// Page is a sorry page as the kernel holds it; see page.Image for the meaning
// of the fields.
type Page struct {
	ID       PageID
	Response []byte
	Head     int
	Sums     []uint32
}
