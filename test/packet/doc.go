// SPDX-License-Identifier: Apache-2.0

// Package packet builds and parses Ethernet frames for tests. It knows wire
// formats and checksums only, and nothing of maitred or of the kernel.
//
// A frame is a struct literal; what is left out gets a sensible value, and
// lengths and checksums are right unless a test sets them wrong on purpose:
//
//	syn := packet.TCP{
//		Src:   netip.MustParseAddrPort("192.0.2.1:40000"),
//		Dst:   netip.MustParseAddrPort("198.51.100.1:80"),
//		Flags: packet.SYN,
//		MSS:   1460,
//		Link:  packet.Link{VLANs: []uint16{100}},
//	}.Bytes()
//
// Parse gives back the same structs, so that want and got compare as values.
package packet
