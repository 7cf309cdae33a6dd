// SPDX-License-Identifier: Apache-2.0

package config

import "testing"

func TestMistakesOfHosts(t *testing.T) {
	const line = "maitred.yaml:3: pools[0].servers[0]."
	of := func(keys string) string {
		return director + service + "pools: [{name: app, servers: [{" + keys + "}]}]\n"
	}
	testMistakes(t, map[string]mistake{
		"both":            {of("address: app.example, srv: _http._tcp.app.example"), []string{line + "srv: stands beside address: a server has one of them"}},
		"no service":      {of("srv: app.example"), []string{line + `srv: "app.example" is not a name of records of service: say _http._tcp.app.example`}},
		"port and weight": {of("srv: _http._tcp.app.example, port: 80, weight: 3"), []string{line + "port: stands beside srv, whose records tell the port: leave it out", line + "weight: stands beside srv, whose records tell the weight: leave it out"}},
		"bad label":       {of("address: -app.example"), []string{line + `address: "-app.example" is neither an IP address nor a name with a dot in it`}},
		"port of dr":      {director + "services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: app, method: dr}]\npools: [{name: app, servers: [{address: app.example, port: 81}]}]\n", []string{`maitred.yaml:2: services[0].method: dr cannot change ports, but the service has port 80 and server "app.example" of pool "app" has 81: use nat, or leave the server's port out`}},
		"bounds":          {"director: {interfaces: [eth0], resolver: {min_ttl: 2m, max_ttl: 1m, servers: [dns.example]}}\n" + pool + service, []string{`maitred.yaml:1: director.resolver.max_ttl: 1m is shorter than min_ttl, 2m`, `maitred.yaml:1: director.resolver.servers[0]: "dns.example" is not an IP address (names are not looked up)`}},
	})
}
