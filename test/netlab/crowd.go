// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// gather makes the client many: it has every address of the crowd. All of those,
// and nobody's, are routed to it.
func (l *Lab) gather() error {
	lo, err := l.Client.link("lo")
	if err != nil {
		return err
	}
	for _, crowd := range []*net.IPNet{ipnet(l.Crowd4), ipnet(l.Crowd6)} {
		route := &netlink.Route{Dst: crowd, LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}
		if err := l.Client.handle.RouteReplace(route); err != nil {
			return fmt.Errorf("make %v local to the client: %w", crowd, err)
		}
	}
	return errors.Join(
		l.Client.Sysctl("ipv6/ip_nonlocal_bind", "1"), // its check of addresses knows nothing of routes
		l.Director.AddRoute(l.Crowd4, l.Client.IPv4),
		l.Director.AddRoute(l.Crowd6, l.Client.IPv6),
		l.Director.AddRoute(l.Nobody4, l.Client.IPv4),
	)
}
