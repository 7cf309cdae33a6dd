// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"net/netip"
	"time"
)

// Method is how a packet reaches a real server.
type Method uint8

// The methods; enum method of bpf/include/types.h explains each.
const (
	MethodDR Method = iota
	MethodTUN
	MethodNAT
	MethodFullNAT
	MethodLocal // this machine itself; the address is the service's own
)

// Tunnel is the outer header of MethodTUN.
type Tunnel uint8

// The tunnels: IP in IP in all four forms (RFC 2003, RFC 2473), and Generic UDP
// Encapsulation (draft-ietf-intarea-gue, variant 0).
const (
	TunnelIPIP Tunnel = iota
	TunnelGUE
)

// ServerState says what flows a real server gets.
type ServerState uint8

// The states of a server's row.
const (
	serverNone  ServerState = iota // nobody's row
	ServerUp                       // all
	ServerDrain                    // those that it has
	ServerDown                     // none: see Down
)

// Spread says how new flows are shared out over the slots of a ring.
type Spread uint8

// The ways to spread flows.
const (
	SpreadTurn    Spread = iota // in turn
	SpreadAddress               // by the client's address
	SpreadPort                  // by the client's address and port
)

// Down says what becomes of the flows of a server that is down.
type Down uint8

// The fates of such flows.
const (
	DownReset  Down = iota // TCP: a reset to the client; else as DownRepick
	DownRepick             // another server
	DownKeep               // they stay
)

// ServerID is the identity of a real server, over restarts of the daemon too.
type ServerID struct {
	Pool       uint64         // a digest of the pool's name
	Addr       netip.AddrPort // port 0: the one that the client asked for
	Method     Method
	Tunnel     Tunnel
	TunnelPort uint16 // of TunnelGUE
}

// Server is what may change of a real server. It says one of the states above.
type Server struct {
	State     ServerState
	Source    netip.Addr // of the outer header of a tunnel
	Gateway   netip.Addr // next hop, and
	Interface int        // index of the way to it, for when the kernel's table has none
	MTU       int        // of the way, in bytes of an IP packet; 0: as the route says
}

// Ring tells which server each slot belongs to.
type Ring struct {
	// Digest identifies the ring: it must change with Servers and with Slots.
	Digest  uint64
	Servers []ServerID
	Slots   []uint16 // indexes of Servers
}

// Forward is how a service is forwarded. Of one that is read back, only the
// Digest of its ring is known.
type Forward struct {
	Spread Spread
	Down   Down
	Ring   Ring // without slots: the service is not forwarded here
}

// Setting holds what is the same for all that is forwarded.
type Setting struct {
	// Sources are full NAT's own addresses, 16 of each family at most; their
	// order means nothing, and they are read back in ascending order.
	Sources             []netip.Addr
	PortFirst, PortLast uint16        // of the ports that full NAT may use
	TCP, FIN, UDP       time.Duration // how long a flow may be idle, in whole seconds
	Probes              bool          // checks take the way of the data
}

// FlowState is how far a flow has come.
type FlowState uint8

// The states of a flow.
const (
	FlowNew   FlowState = iota // one packet was seen, so far
	FlowOpen                   // TCP, in use
	FlowFIN                    // an end has said that it sends no more
	FlowReset                  // an end has broken it off
	FlowUDP                    // UDP, in use
)

// String gives the state as an operator reads it.
func (s FlowState) String() string {
	switch s {
	case FlowNew:
		return "new"
	case FlowOpen:
		return "open"
	case FlowFIN:
		return "fin"
	case FlowReset:
		return "reset"
	case FlowUDP:
		return "udp"
	}
	return fmt.Sprintf("state_%d", uint8(s))
}

// Flow is what one port of a client sends to a service.
type Flow struct {
	Client  netip.AddrPort
	Service Key
	Server  ServerID // zero: its server is gone, and the next packet gets another
	State   FlowState
	Idle    time.Duration  // since its last packet, in whole seconds
	Left    time.Duration  // until it is forgotten if none comes
	Source  netip.AddrPort // the director's address and port, of MethodFullNAT alone
}

// Census counts the flows that Sweep left.
type Census struct {
	Flows     map[ServerID]int
	ByService map[Key]int
	// Open and OpenByService count those of them in which both ends may still speak:
	// neither ended nor seen but once.
	Open          map[ServerID]int
	OpenByService map[Key]int

	Total    int
	Capacity int           // how many there is room for
	Removed  int           // by this sweep
	Took     time.Duration // to go through them
}

// Tally is what a server got and gave since its row was made. Only NAT sees what
// comes back.
type Tally struct {
	Packets     uint64 `json:"packets"`
	Bytes       uint64 `json:"bytes"` // of the frames as they came in
	Flows       uint64 `json:"flows"` // new ones
	BackPackets uint64 `json:"back_packets"`
	BackBytes   uint64 `json:"back_bytes"`
	Opened      uint64 `json:"opened"`  // SYN-ACKs
	Refused     uint64 `json:"refused"` // resets in answer to a SYN
	Lost        uint64 `json:"lost"`    // flows that a failure of the server has ended or moved
}
