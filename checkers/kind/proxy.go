// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"net"
	"net/netip"
)

// Proxy is a version of the PROXY protocol
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
type Proxy string

// The versions. The zero value sends no header.
const (
	ProxyV1 Proxy = "v1"
	ProxyV2 Proxy = "v2"
)

// header is what a check begins a connection with. Version 2 has a command for
// connections that are for nobody else, which checks are (LOCAL, section 2.2).
// Version 1 has none; it names the connection's own addresses.
func (p Proxy) header(conn net.Conn) []byte {
	switch p {
	case ProxyV1:
		local, remote := addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
		family := "TCP6"
		if remote.Addr().Is4() {
			family = "TCP4"
		}
		return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family, local.Addr(), remote.Addr(), local.Port(), remote.Port())
	case ProxyV2:
		const version, local, unspecified, length = 0x2, 0x0, 0x0, 0
		return append([]byte("\r\n\r\n\x00\r\nQUIT\n"), version<<4|local, unspecified, length>>8, length&0xff)
	}
	return nil
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, _ := a.(*net.TCPAddr) // of tcp it is one
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}
