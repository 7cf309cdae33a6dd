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
	ModeShed               // as ModeLinger, and answer a part of the new connections
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
	// Shed is how many of 2^32 new connections get the page, in ModeShed.
	Shed uint32
}

// Page is a sorry page as the kernel holds it; see page.Image for the meaning
// of the fields.
type Page struct {
	ID       PageID
	Response []byte
	Head     int
	Sums     []uint32
	Speech   Speech
	Burst    int       // segments that an acknowledgement brings; zero is one
	Variants []Variant // the first that suits a client takes the page's place
}

// Variant is a page that is sent in place of another to the clients that it
// suits better.
type Variant struct {
	Host    string // in lower case, without a port; empty: any
	Coding  Coding
	Opening Opening
	Page    Page // without variants of its own
}

// Speech is the protocol that a page is told in: when it is sent, and what of
// the client's bytes goes into it.
type Speech uint8

// The speeches, as enum speech of bpf/include/types.h has them.
const (
	SpeechHTTP        Speech = iota
	SpeechAny                // all of it, at the client's first byte
	SpeechGreeting           // before the client has said anything
	SpeechPostgres           // N to a wish for encryption; then the error
	SpeechHTTP2              // the head at the preface, the rest at a request
	SpeechLDAP               // with the number and kind of the request
	SpeechDNS                // the question itself, with SERVFAIL
	SpeechUnreachable        // of UDP: an ICMP error
)

// Coding is how a body is coded (RFC 9110, 8.4.1).
type Coding uint8

// The codings, as enum coding of bpf/include/types.h has them.
const (
	CodingNone Coding = iota
	CodingGzip
	CodingBrotli
)

// Opening is what a client's first bytes must be for a variant.
type Opening uint8

// The openings, as enum opening of bpf/include/types.h has them.
const (
	OpeningHTTP Opening = iota // a method
	OpeningTLS                 // a ClientHello
)
