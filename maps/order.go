// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"encoding/binary"
	"net/netip"

	"github.com/maitred-lb/maitred/bpf"
)

// What is in wire order on the wire is in wire order in the kernel's tables, in
// words that the machine reads in its own.

// keyTo gives the kernel's form of a key.
func keyTo(k Key) bpf.DirectorEndpoint {
	return bpf.DirectorEndpoint{Address: addrTo(k.Addr.Addr()), Port: portTo(k.Addr.Port()), Protocol: k.Proto}
}

func keyFrom(k bpf.DirectorEndpoint) Key {
	return Key{Addr: netip.AddrPortFrom(addrFrom(k.Address), portFrom(k.Port)), Proto: k.Protocol}
}

// addrTo maps IPv4 addresses (RFC 4291, 2.5.5.2); all zeros is no address.
func addrTo(a netip.Addr) (out [4]uint32) {
	if !a.IsValid() {
		return out
	}
	b := a.As16()
	for i := range out {
		out[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return out
}

func addrFrom(words [4]uint32) netip.Addr {
	if words == ([4]uint32{}) {
		return netip.Addr{}
	}
	var b [16]byte
	for i, word := range words {
		binary.NativeEndian.PutUint32(b[4*i:], word)
	}
	return netip.AddrFrom16(b).Unmap()
}

func portTo(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

func portFrom(port uint16) uint16 { return portTo(port) } // its own inverse
