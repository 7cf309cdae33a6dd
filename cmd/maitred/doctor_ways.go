// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// checkWays looks at the ways to the real servers: whether there are any, whether
// the next hop answers, and whether XDP can send there.
func checkWays(h host, cfg *config.Config) []finding {
	var lost []string
	var ways []reconcile.Path
	for _, server := range serversOf(cfg) {
		way, err := h.path(server)
		switch {
		case err != nil:
			lost = append(lost, server.String())
		case !slices.ContainsFunc(ways, func(w reconcile.Path) bool { return w.Index == way.Index && w.Gateway == way.Gateway }):
			ways = append(ways, way)
		}
	}
	var out []finding
	if len(lost) > 0 {
		out = append(out, finding{levelFail, "routes", "none leads to the real servers " + some(lost), "ip route add; see ip route get " + lost[0]})
	}
	if len(ways) == 0 {
		return out
	}
	return append(append(out, checkNeighbours(h, ways)), checkTransmit(h, cfg, ways)...)
}

// serversOf lists the addresses of the real servers that serve anything.
func serversOf(cfg *config.Config) []netip.Addr {
	var all []netip.Addr
	for _, s := range cfg.Services {
		for _, server := range cfg.Reached(s) {
			all = append(all, server.Address)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// checkNeighbours tells which next hops have no MAC address: nothing can be sent
// to them.
func checkNeighbours(h host, ways []reconcile.Path) finding {
	var silent []string
	for _, way := range h.silent(ways) {
		silent = append(silent, fmt.Sprintf("%s on %s", way.Gateway, way.Interface))
	}
	if len(silent) > 0 {
		return finding{levelWarn, "neighbours", "no answer to ARP or neighbour discovery from " + some(silent),
			"see whether these hosts are up and in this network: ip neigh"}
	}
	return finding{Level: levelOK, Check: "neighbours", Found: "all next hops to the real servers answer (" + count(len(ways), "next hop") + ")"}
}

// checkTransmit tells where XDP cannot send to: packets from another interface go
// out there by tc.
func checkTransmit(h host, cfg *config.Config, ways []reconcile.Path) []finding {
	if cfg.Director.Attach == config.AttachTC {
		return nil
	}
	var out []finding
	seen := map[string]bool{}
	for _, way := range ways {
		name := way.Interface
		if seen[name] {
			continue
		}
		seen[name] = true
		f := finding{Level: levelOK, Check: name + " XDP to servers", Found: "the driver sends what XDP hands to it"}
		switch h.transmits(way.Index) {
		case supportYes:
		case supportNo:
			f.Found = "the driver does not send what XDP hands to it: tc forwards there, unless packets came in by " + name
		case supportUnknown:
			f.Found = "this kernel does not tell (6.3 does): tc forwards there, unless director.attach is xdp or packets came in by " + name
		}
		out = append(out, f)
	}
	return out
}

// some is a list, of which only the first few are told.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
