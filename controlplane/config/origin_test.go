// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/checkers/kind"
)

func TestMistakesOfOrigins(t *testing.T) {
	const line = "maitred.yaml:4: checks[0]."
	of := func(keys string) string { return minimal + "checks: [{name: c, tcp: {}, " + keys + "}]\n" }
	testMistakes(t, map[string]mistake{
		"way":                  {of("via: vfr"), []string{line + `via: "vfr" is not a way to a server (did you mean vrf?)`}},
		"no VRF":               {of("via: vrf"), []string{line + "vrf: is missing: name the VRF that the servers are in"}},
		"no namespace":         {of("via: netns"), []string{line + "netns: is missing: name the network namespace that the servers are in"}},
		"VRF of another way":   {of("via: direct, vrf: blue"), []string{line + "vrf: is for via: vrf"}},
		"both":                 {of("vrf: blue, netns: red"), []string{line + "netns: stands beside vrf: a check has one way to its servers"}},
		"device beside VRF":    {of("vrf: blue, device: eth0"), []string{line + "device: stands beside vrf, which binds to the device of the VRF: leave it out"}},
		"path for a namespace": {of("netns: /run/netns/red"), []string{line + `netns: "/run/netns/red" is not the name of a network namespace: one that ip netns list shows`}},
		"long device":          {of("device: abcdefghijklmnop"), []string{line + `device: "abcdefghijklmnop" is longer than the 15 bytes that the name of an interface may have`}},
		"source":               {of("source: lb1"), []string{line + `source: "lb1" is not an IP address (names are not looked up)`}},
		"source of a family":   {director + "checks: [{name: c, tcp: {port: 80}, source: '2001:db8::2'}]\n" + pool[:len(pool)-3] + ", checks: [c]}]\n" + service, []string{`maitred.yaml:3: pools[0].checks[0]: check "c" comes from 2001:db8::2 and cannot ask server "a", which is of IPv4: give its pool another check`}},
		"of a program":         {minimal + "checks: [{name: c, exec: {command: [/bin/true]}, mark: 7}]\n", []string{"maitred.yaml:4: checks[0].exec: connects by itself, and heeds neither source, source_ports, mark, device, vrf, netns nor proxy_protocol: leave them out"}},
		"of no connection":     {minimal + "checks: [{name: c, icmp: {}, mark: 7}]\n", []string{"maitred.yaml:4: checks[0].icmp: makes no connection, and heeds neither source, source_ports, mark, device, vrf, netns nor proxy_protocol: leave them out"}},
		"ports":                {of("source_ports: 9-8"), []string{line + `source_ports: "9-8" is empty: the first is above the last`}},
		"mark":                 {of("mark: blue"), []string{line + `mark: "blue" is not a firewall mark: 1 to 0xffffffff`}},
		"no mark":              {of("mark: 0"), []string{line + `mark: "0" is not a firewall mark: 1 to 0xffffffff`}},
		"our mark":             {of("mark: 0x6d000007"), []string{line + `mark: "0x6d000007" is one of those from 0x6d000000/8, which are for checks via the data path: take another`}},
		"version":              {of("proxy_protocol: v3"), []string{line + `proxy_protocol: "v3" is not a version of the PROXY protocol (did you mean v1?)`}},
		"mark via the data":    {through("tcp: {}, mark: 7, device: eth0", "{name: s, addresses: [192.0.2.1], ports: [80], pool: four}"), []string{"maitred.yaml:2: checks[0].device: is not for via: dataplane, whose packets have a mark and a way of their own: leave it out", "maitred.yaml:2: checks[0].mark: is not for via: dataplane, whose packets have a mark and a way of their own: leave it out"}},
	})
}

func TestOrigins(t *testing.T) {
	for name, test := range map[string]struct {
		keys string
		via  Via
		want kind.Origin
	}{
		"none":            {"", ViaDirect, kind.Origin{}},
		"all of direct":   {", source: 10.0.0.9, source_ports: 20000-29999, mark: 0x10, device: eth1, proxy_protocol: v1", ViaDirect, kind.Origin{Source: netip.MustParseAddr("10.0.0.9"), Ports: kind.Ports{Low: 20000, High: 29999}, Mark: 16, Device: "eth1", Proxy: kind.ProxyV1}},
		"a VRF":           {", vrf: blue", ViaVRF, kind.Origin{Device: "blue"}},
		"a VRF, in full":  {", via: vrf, vrf: blue", ViaVRF, kind.Origin{Device: "blue"}},
		"a namespace":     {", netns: red", ViaNetns, kind.Origin{Netns: "red"}},
		"a device inside": {", netns: red, device: eth0", ViaNetns, kind.Origin{Netns: "red", Device: "eth0"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := mustParse(t, minimal+"checks: [{name: c, tcp: {}"+test.keys+"}]\n").Check("c")
			if c.Via != test.via || c.Origin != test.want {
				t.Errorf("got %s from %+v, want %s from %+v", c.Via, c.Origin, test.via, test.want)
			}
		})
	}
}

// Another origin is another check.
func TestFingerprintOfOrigins(t *testing.T) {
	seen := map[string]string{}
	for _, keys := range []string{"", ", source: 10.0.0.9", ", source_ports: 1-2", ", mark: 1", ", device: blue", ", vrf: blue", ", netns: blue", ", proxy_protocol: v1", ", proxy_protocol: v2"} {
		c, _ := mustParse(t, minimal+"checks: [{name: c, tcp: {}"+keys+"}]\n").Check("c")
		if other, ok := seen[c.Fingerprint]; ok {
			t.Errorf("the fingerprint is the same with %q as with %q", keys, other)
		}
		seen[c.Fingerprint] = keys
	}
}
