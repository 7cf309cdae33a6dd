// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"time"
)

// Attach says where the sorry engine sits on an interface.
type Attach string

// AttachAuto takes XDP and tc where the driver has native XDP, but for veth,
// where answers by XDP need a program on the peer too, and under VLAN devices,
// whose tags drivers take off before XDP; else tc alone.
const (
	AttachAuto Attach = "auto"
	AttachXDP  Attach = "xdp" // XDP and tc; an interface without native XDP is an error
	AttachTC   Attach = "tc"
)

// Forwarding says which engine forwards packets to real servers.
type Forwarding string

// ForwardingAuto takes IPVS where the kernel has it, else eBPF. ForwardingNone
// leaves forwarding to others: maitred then checks, switches and says sorry only.
const (
	ForwardingAuto Forwarding = "auto"
	ForwardingIPVS Forwarding = "ipvs"
	ForwardingEBPF Forwarding = "ebpf"
	ForwardingNone Forwarding = "none"
)

// Connections is what the eBPF engine remembers of them.
type Connections struct {
	// Memory is the most that their tables take in the kernel, in bytes.
	Memory int64
	// TCP, FIN and UDP are how long a connection that is idle is remembered: an
	// open one, one that an end has closed, and an exchange of datagrams.
	TCP, FIN, UDP time.Duration
}

// FullNAT is where connections come from that a service of method fullnat opens
// to its servers.
type FullNAT struct {
	Sources             []netip.Addr // of the director; none: no service has that method
	PortFirst, PortLast uint16       // of each of them, both included
}
