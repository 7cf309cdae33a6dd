// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers/kind"
)

// way is the way that a check takes to servers: the one that it names, or that of
// the VRF or namespace that it names.
func (b builder) way(path string, r rawCheck) Via {
	via := Via(r.Via)
	b.enum(path+".via", r.Via, "a way to a server", string(ViaDirect), string(ViaDataplane), string(ViaVRF), string(ViaNetns))
	for _, way := range []struct {
		via  Via
		noun string
	}{{ViaVRF, "VRF"}, {ViaNetns, "network namespace"}} {
		key := at(path, string(way.via))
		switch {
		case b.given(key) && !b.given(path+".via"):
			via = way.via
		case b.given(key) && r.Via != string(way.via) && b.ok(path+".via"):
			b.add(key, "is for via: %s", way.via)
		case !b.given(key) && r.Via == string(way.via):
			b.missing(key, "name the "+way.noun+" that the servers are in")
		}
	}
	if b.given(path+".vrf") && b.given(path+".netns") && !b.given(path+".via") {
		b.add(path+".netns", "stands beside vrf: a check has one way to its servers")
	}
	return via
}

// origin is where the packets of a check come from.
func (b builder) origin(path string, via Via, r rawOrigin) kind.Origin {
	o := kind.Origin{Device: r.Device, Netns: r.Netns, Proxy: kind.Proxy(r.ProxyProtocol)}
	if b.given(path + ".source") {
		o.Source = b.address(path+".source", r.Source)
	}
	if b.given(path + ".source_ports") {
		o.Ports.Low, o.Ports.High = b.portRange(path+".source_ports", r.SourcePorts)
	}
	if b.given(path + ".mark") {
		o.Mark = b.mark(path+".mark", r.Mark)
	}
	if b.given(path + ".proxy_protocol") {
		b.enum(path+".proxy_protocol", r.ProxyProtocol, "a version of the PROXY protocol", string(kind.ProxyV1), string(kind.ProxyV2))
	}
	b.device(path+".device", r.Device)
	b.device(path+".vrf", r.VRF)
	if b.given(path+".netns") && (r.Netns == "" || r.Netns == "." || r.Netns == ".." || strings.Contains(r.Netns, "/")) {
		b.add(path+".netns", "%q is not the name of a network namespace: one that ip netns list shows", r.Netns)
	}
	if r.VRF != "" {
		if b.given(path + ".device") {
			b.add(path+".device", "stands beside vrf, which binds to the device of the VRF: leave it out")
		}
		o.Device = r.VRF
	}
	for _, key := range []string{".mark", ".device"} {
		if via == ViaDataplane && b.given(path+key) {
			b.add(path+key, "is not for via: dataplane, whose packets have a mark and a way of their own: leave it out")
		}
	}
	return o
}

func (b builder) mark(path, text string) uint32 {
	mark, err := strconv.ParseUint(text, 0, 32)
	switch {
	case err != nil || mark == 0:
		b.add(path, "%q is not a firewall mark: 1 to 0xffffffff", text)
	case OurMark(uint32(mark)):
		b.add(path, "%q is one of those from %#x/8, which are for checks via the data path: take another", text, MarkPrefix)
	}
	return uint32(mark)
}

func (b builder) device(path, name string) {
	if problem := badInterface(name); problem != "" && b.given(path) {
		b.add(path, "%q %s", name, problem)
	}
}

// sources reports servers that a check with a source address cannot ask.
func (b builder) sources(path string, p Pool, checks map[string]Check) {
	for i, name := range p.Checks {
		where := at(path, "checks", i)
		if !b.given(where) {
			where = path + ".up_when"
		}
		c := checks[name]
		if !c.Origin.Source.IsValid() || c.Via == ViaDataplane || c.Portless {
			continue
		}
		for _, s := range p.Servers {
			if s.Address.IsValid() && s.Address.Is4() != c.Origin.Source.Is4() {
				b.add(where, "check %q comes from %v and cannot ask server %q, which is of %s: give its pool another check",
					name, c.Origin.Source, s.Name, family(s.Address))
				break
			}
		}
	}
}
