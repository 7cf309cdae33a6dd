// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pools = `pools:
- {name: four, servers: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2, port: 8080}]}
- {name: six, servers: [{name: a, address: "2001:db8::1"}]}
- {name: both, servers: [{name: a, address: 10.0.0.1}, {name: b, address: "2001:db8::1"}]}
`

// one is a configuration whose one service has these keys, on line 6.
func one(keys string) string { return director + pools + "services: [{name: s, " + keys + "}]\n" }

func TestMistakesOfServices(t *testing.T) {
	const reach = "addresses: [192.0.2.1], ports: [80], "
	const line = "maitred.yaml:6: services[0]."
	testMistakes(t, map[string]mistake{
		"none":              {director + pools, []string{"maitred.yaml: services: is missing: a director has at least one virtual service"}},
		"nothing said":      {one(""), []string{line + "addresses: is missing: give at least one address", line + "pool: is missing: name the pool of its real servers", line + "ports: is missing: give at least one port"}},
		"unknown pool":      {one(reach + "pool: foru"), []string{line + `pool: there is no pool "foru" (did you mean four?)`}},
		"protocol":          {one(reach + "pool: four, protocol: sctp"), []string{line + `protocol: "sctp" is not a protocol: one of tcp, udp`}},
		"scheduler":         {one(reach + "pool: four, scheduler: wlcc"), []string{line + `scheduler: "wlcc" is not a scheduler (did you mean wlc?)`}},
		"unknown scheduler": {one(reach + "pool: four, scheduler: magic"), []string{line + `scheduler: "magic" is not a scheduler: one of wrr, rr, mh, sh, wlc, lc, sed, nq, ovf, lblc, lblcr, twos, fo, dh`}},
		"method":            {one(reach + "pool: four, method: masq"), []string{line + `method: "masq" is not a forwarding method: one of nat, dr, tun, fullnat`}},
		"port zero":         {one("addresses: [192.0.2.1], ports: [80, 0], pool: four"), []string{line + "ports[1]: 0 is not a port: 1 to 65535"}},
		"port twice":        {one("addresses: [192.0.2.1], ports: [80, 80], pool: four"), []string{line + "ports[1]: 80 is given twice"}},
		"address twice":     {one(`addresses: ["2001:db8::5", "2001:DB8:0::5"], ports: [80], pool: six`), []string{line + "addresses[1]: 2001:db8::5 is given twice"}},
		"unspecified":       {one("addresses: [0.0.0.0], ports: [80], pool: four"), []string{line + `addresses[0]: "0.0.0.0" is not the address of a host`}},
		"multicast":         {one("addresses: [224.0.0.1], ports: [80], pool: four"), []string{line + `addresses[0]: "224.0.0.1" is a multicast address`}},
		"broadcast":         {one("addresses: [255.255.255.255], ports: [80], pool: four"), []string{line + `addresses[0]: "255.255.255.255" is the broadcast address`}},
		"prefix":            {one("addresses: [10.0.0.1/32], ports: [80], pool: four"), []string{line + `addresses[0]: "10.0.0.1/32" has a prefix length: write the address alone, 10.0.0.1`}},
		"zone":              {one(`addresses: ["fe80::1%eth0"], ports: [80], pool: six`), []string{line + `addresses[0]: "fe80::1%eth0" has a zone: an address of one link only cannot be used here`}},
		"IPv6 to IPv4":      {one(`addresses: [192.0.2.1, "2001:db8::9"], ports: [80], pool: four`), []string{line + `addresses[1]: 2001:db8::9 is IPv6, and all servers of pool "four" are IPv4: nat does not translate between them, tun goes across`}},
		"IPv4 to IPv6":      {one("addresses: [192.0.2.1], ports: [80], pool: six, method: dr"), []string{line + `addresses[0]: 192.0.2.1 is IPv4, and all servers of pool "six" are IPv6: dr does not translate between them, tun goes across`}},
		"dr to a port":      {one(reach + "pool: four, method: dr"), []string{line + `method: dr cannot change ports, but the service has port 80 and server "b" of pool "four" has 8080: use nat, or leave the server's port out`}},
		"tun to a port":     {one(reach + "pool: four, method: tun"), []string{line + `method: tun cannot change ports, but the service has port 80 and server "b" of pool "four" has 8080: use nat, or leave the server's port out`}},
		"same reach":        {director + pools + "services:\n- {name: s, " + reach + "pool: four}\n- {name: t, " + reach + "pool: four}\n", []string{`maitred.yaml:8: services[1].ports: 192.0.2.1:80/tcp belongs to service "s" already: maitred.yaml:7`}},
		"same name":         {director + pools + "services:\n- {name: s, " + reach + "pool: four}\n- {name: s, " + reach + "pool: four, protocol: udp}\n", []string{`maitred.yaml:8: services[1].name: "s" is given twice: first at maitred.yaml:7`}},
	})
}

func TestMistakesOfQuorumAndSorry(t *testing.T) {
	four := func(keys string) string { return one("addresses: [192.0.2.1], ports: [80], pool: four, " + keys) }
	const line = "maitred.yaml:6: services[0]."
	testMistakes(t, map[string]mistake{
		"min over servers": {four("quorum: {min: 3}"), []string{line + `quorum.min: can never be reached: min is 3, over the 2 servers of pool "four"`}},
		"sum over servers": {four("quorum: {min: 2, hysteresis: 1}"), []string{line + `quorum.min: can never be reached: min and hysteresis together are 3, over the 2 servers of pool "four"`}},
		"sum over 100%":    {four("quorum: {min: 80%, hysteresis: 30%}"), []string{line + "quorum.min: can never be reached: min and hysteresis together are 110, over 100%"}},
		"over 100%":        {four("quorum: {min: 101%}"), []string{line + `quorum.min: "101%" is over 100%`}},
		"zero":             {four("quorum: {min: 0}"), []string{line + `quorum.min: "0" is below 1`}},
		"no number":        {four("quorum: {min: half}"), []string{line + `quorum.min: "half" is not a number of servers, nor per cent as in "50%"`}},
		"never down":       {four("quorum: {min: 1, hysteresis: 1}"), []string{line + `quorum.hysteresis: "1" is not below min, "1": the service would never go down`}},
		"two units":        {four("quorum: {min: 50%, hysteresis: 1}"), []string{line + `quorum.hysteresis: "1" is not in the unit of min, "50%": both are servers or both per cent`}},
		"unknown page":     {four("sorry: {page: defualt}"), []string{line + `sorry.page: there is no page "defualt" (did you mean default?)`}},
		"text":             {four("sorry: default"), []string{line + "sorry: is a single value, not a map of keys: write {page: default}, or none"}},
		"list":             {four("sorry: [default]"), []string{line + "sorry: is a list, not a map of keys: write {page: ...}, or none"}},
		"orphans":          {four("sorry: {orphans: rest}"), []string{line + `sorry.orphans: "rest" is not what can become of orphans (did you mean reset?)`}},
		"negative linger":  {four("sorry: {linger: -1s}"), []string{line + "sorry.linger: -1s is out of range: 0s to 1h"}},
		"endless linger":   {four("sorry: {linger: 2h}"), []string{line + "sorry.linger: 2h is out of range: 0s to 1h"}},
		"udp":              {four("protocol: udp, sorry: {page: default}"), []string{line + `sorry.page: page "default" is of protocol http: a udp service may have pages of dns and unreachable alone`}},
	})
}

// All that is wrong is told at once, in the order of the lines.
func TestAllMistakesAtOnce(t *testing.T) {
	_, err := parse(`director:
  interfaces: [eth0]
  atach: tc
health: {defaults: {interval: 5}}
checks:
  - {name: web, http: {path: health, colour: red}}
pools:
  - name: app
    servers:
      - {name: a, address: 10.0.0.300}
    checks: [webb]
pages:
  - {name: closed, status: 600}
services:
  - name: shop
    addresses: [192.0.2.10]
    ports: [80, 99999]
    scheduler: wlcc
    pool: ap
    sorry: {page: closd}
`)
	want := Errors{
		{"maitred.yaml", 3, "director.atach", "is not a key here (did you mean attach?)"},
		{"maitred.yaml", 4, "health.defaults.interval", "5 has no unit: say 5s"},
		{"maitred.yaml", 6, "checks[0].http.colour", "is not an option here: the options are auth_file, body, body_file, expect, headers, host, max_body, method, path, port, reuse, version, weight_header"},
		{"maitred.yaml", 6, "checks[0].http.path", `"health" does not begin with a slash: write it as /healthz`},
		{"maitred.yaml", 10, "pools[0].servers[0].address", `"10.0.0.300" is neither an IP address nor a name with a dot in it`},
		{"maitred.yaml", 11, "pools[0].checks[0]", `there is no check "webb" (did you mean web?)`},
		{"maitred.yaml", 13, "pages[0].status", "600 is not an HTTP status: 200 to 599"},
		{"maitred.yaml", 17, "services[0].ports[1]", "99999 is not a port: 1 to 65535"},
		{"maitred.yaml", 18, "services[0].scheduler", `"wlcc" is not a scheduler (did you mean wlc?)`},
		{"maitred.yaml", 19, "services[0].pool", `there is no pool "ap" (did you mean app?)`},
		{"maitred.yaml", 20, "services[0].sorry.page", `there is no page "closd" (did you mean closed?)`},
	}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
