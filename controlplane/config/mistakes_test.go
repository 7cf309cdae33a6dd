// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/checkers/kind"
)

func TestMistakesOfDirectorAndAdmin(t *testing.T) {
	rest := pool + service
	testMistakes(t, map[string]mistake{
		"no director":           {rest, []string{"maitred.yaml: director.interfaces: is missing: name those that clients' packets arrive on, for example [eth0]"}},
		"no interfaces":         {"director: {name: a}\n" + rest, []string{"maitred.yaml:1: director.interfaces: is missing: name those that clients' packets arrive on, for example [eth0]"}},
		"misspelt interfaces":   {"director: {interfases: [eth0]}\n" + rest, []string{"maitred.yaml:1: director.interfases: is not a key here (did you mean interfaces?)"}},
		"long interface":        {"director:\n  interfaces:\n  - eth0\n  - abcdefghijklmnop\n" + rest, []string{`maitred.yaml:4: director.interfaces[1]: "abcdefghijklmnop" is longer than the 15 bytes that the name of an interface may have`}},
		"odd interface":         {"director: {interfaces: [a/b, é]}\n" + rest, []string{`maitred.yaml:1: director.interfaces[0]: "a/b" is not the name of an interface: ASCII without spaces, / and :`, `maitred.yaml:1: director.interfaces[1]: "é" is not the name of an interface: ASCII without spaces, / and :`}},
		"interface twice":       {"director: {interfaces: [a, b, a]}\n" + rest, []string{`maitred.yaml:1: director.interfaces[2]: "a" is named twice`}},
		"no name":               {"director: {interfaces: [a], name: \"\"}\n" + rest, []string{"maitred.yaml:1: director.name: is missing: give it a name"}},
		"attach":                {"director: {interfaces: [a], attach: xpd}\n" + rest, []string{`maitred.yaml:1: director.attach: "xpd" is not a way to attach (did you mean xdp?)`}},
		"forwarding":            {"director: {interfaces: [a], forwarding: lvs}\n" + rest, []string{`maitred.yaml:1: director.forwarding: "lvs" is not a forwarding engine: one of auto, ipvs, ebpf, none`}},
		"addresses":             {"director: {interfaces: [a], addresses: Manage}\n" + rest, []string{`maitred.yaml:1: director.addresses: "Manage" is not an address mode (did you mean manage?)`}},
		"on stop":               {"director: {interfaces: [a], on_stop: kepe}\n" + rest, []string{`maitred.yaml:1: director.on_stop: "kepe" is not what a stop can do (did you mean keep?)`}},
		"resync too often":      {"director: {interfaces: [a], resync_interval: 10ms}\n" + rest, []string{"maitred.yaml:1: director.resync_interval: 10ms is out of range: 1s to 24h"}},
		"relative pin path":     {"director: {interfaces: [a], pin_path: bpf}\n" + rest, []string{`maitred.yaml:1: director.pin_path: "bpf" is not an absolute path`}},
		"relative socket":       {minimal + "admin: {socket: m.sock}\n", []string{`maitred.yaml:4: admin.socket: "m.sock" is not an absolute path`}},
		"long socket":           {minimal + "admin: {socket: /" + strings.Repeat("x", 107) + "}\n", []string{"maitred.yaml:4: admin.socket: has 108 bytes, a socket's path has at most 107"}},
		"director of all wrong": {"director: [x]\n" + rest, []string{"maitred.yaml:1: director: is a list, not a map of keys"}},
	})
}

func TestMistakesOfChecks(t *testing.T) {
	checks := func(lines string) string { return minimal + "checks:\n" + lines }
	testMistakes(t, map[string]mistake{
		"no name":         {checks("- tcp: {}\n"), []string{"maitred.yaml:5: checks[0].name: is missing: give it a name"}},
		"odd name":        {checks("- {name: a b, tcp: {}}\n"), []string{`maitred.yaml:5: checks[0].name: "a b" is not a name: letters, digits, and . _ : -`}},
		"long name":       {checks("- {name: " + strings.Repeat("x", 64) + ", tcp: {}}\n"), []string{"maitred.yaml:5: checks[0].name: has 64 bytes, a name has at most 63"}},
		"name twice":      {checks("- {name: a, tcp: {}}\n- {name: a, http: {}}\n"), []string{`maitred.yaml:6: checks[1].name: "a" is given twice: first at maitred.yaml:5`}},
		"no type":         {checks("- {name: a}\n"), []string{"maitred.yaml:5: checks[0].type: is missing: give it one of " + strings.Join(kind.NewTable(kind.Env{}).Names(), ", ") + ", for example tcp: {}"}},
		"two types":       {checks("- name: a\n  http: {}\n  tcp: {}\n"), []string{"maitred.yaml:7: checks[0].tcp: is a second type beside http: a check has one"}},
		"port":            {checks("- {name: a, tcp: {port: 65536}}\n"), []string{"maitred.yaml:5: checks[0].tcp.port: 65536 is not a port: 1 to 65535"}},
		"port of text":    {checks("- {name: a, tcp: {port: http}}\n"), []string{"maitred.yaml:5: checks[0].tcp.port: http is not a port: 1 to 65535"}},
		"option":          {checks("- {name: a, tcp: {path: /}}\n"), []string{"maitred.yaml:5: checks[0].tcp.path: is not an option here: the options are ca_file, cert_file, expires_within, fingerprint, key_file, min_version, port, script, sni, verify"}},
		"option misspelt": {checks("- {name: a, http: {pth: /}}\n"), []string{"maitred.yaml:5: checks[0].http.pth: is not an option here (did you mean path?)"}},
		"option in list":  {checks("- name: a\n  http:\n    headers:\n    - {name: A, value: b}\n    - {name: Host, value: b}\n"), []string{"maitred.yaml:9: checks[0].http.headers[1].name: is set by the option host"}},
		"ca_file":         {checks("- {name: a, https: {ca_file: no.pem}}\n"), []string{`maitred.yaml:5: checks[0].https.ca_file: "no.pem" cannot be read: file does not exist`}},
		"interval":        {checks("- {name: a, tcp: {}, interval: 1ms}\n"), []string{"maitred.yaml:5: checks[0].interval: 1ms is out of range: 10ms to 24h"}},
		"negative":        {checks("- {name: a, tcp: {}, timeout: -1s}\n"), []string{"maitred.yaml:5: checks[0].timeout: -1s is out of range: 10ms to 24h"}},
		"slow fast":       {checks("- {name: a, tcp: {}, fast_interval: 90s, interval: 60s}\n"), []string{"maitred.yaml:5: checks[0].fast_interval: 1m30s is longer than the interval of 1m"}},
		"long timeout":    {checks("- name: a\n  tcp: {}\n  timeout: 6s\n"), []string{"maitred.yaml:7: checks[0].timeout: 6s is longer than the interval of 5s"}},
		"short interval":  {checks("- {name: a, tcp: {}, interval: 1s}\n"), []string{"maitred.yaml:5: checks[0].interval: 1s is shorter than the timeout of 2s that is the default: give a timeout as well"}},
		"rise":            {checks("- {name: a, tcp: {}, rise: 0}\n"), []string{"maitred.yaml:5: checks[0].rise: 0 is out of range: 1 to 1000"}},
		"fall":            {checks("- {name: a, tcp: {}, fall: -1}\n"), []string{"maitred.yaml:5: checks[0].fall: -1 is out of range: 1 to 1000"}},
		"down interval":   {checks("- {name: a, tcp: {}, down_interval: 25h}\n"), []string{"maitred.yaml:5: checks[0].down_interval: 25h is out of range: 10ms to 24h"}},
		"fatal":           {checks("- {name: a, tcp: {}, fatal: [refused, refuse]}\n"), []string{`maitred.yaml:5: checks[0].fatal[1]: "refuse" is not a failure: it is one of refused, timeout, unreachable, stalled, tls, protocol, status, content, module, and may have a detail: status:503`}},
		"fatal detail":    {checks("- {name: a, tcp: {}, fatal: ['status:']}\n"), []string{`maitred.yaml:5: checks[0].fatal[0]: "status:" has no detail after the colon that a failure could have: write status:503`}},
		"fatal local":     {checks("- {name: a, tcp: {}, fatal: [local]}\n"), []string{`maitred.yaml:5: checks[0].fatal[0]: "local" is not a failure: it is one of refused, timeout, unreachable, stalled, tls, protocol, status, content, module, and may have a detail: status:503`}},
		"long window":     {checks("- {name: a, tcp: {}, window: {runs: 65, failures: 3}}\n"), []string{"maitred.yaml:5: checks[0].window.runs: 65 is out of range: 1 to 64, or 0 for both keys of the window to have none"}},
		"half a window":   {checks("- {name: a, tcp: {}, window: {runs: 6}}\n"), []string{"maitred.yaml:5: checks[0].window.runs: is of no use without failures: how many of these runs lower a server"}},
		"no runs":         {checks("- {name: a, tcp: {}, window: {failures: 6}}\n"), []string{"maitred.yaml:5: checks[0].window.failures: is of no use without runs: how many of the last are looked at"}},
		"full window":     {checks("- {name: a, tcp: {}, window: {runs: 6, failures: 7}}\n"), []string{"maitred.yaml:5: checks[0].window.failures: 7 is out of range: 1 to the 6 runs of the window"}},
		"flap":            {checks("- {name: a, tcp: {}, flap: {half_life: 1ms, penalty: 0, reuse: 2001}}\n"), []string{"maitred.yaml:5: checks[0].flap.half_life: 1ms is out of range: 1s to 24h", "maitred.yaml:5: checks[0].flap.penalty: 0 is out of range: 1 to 1000000", "maitred.yaml:5: checks[0].flap.reuse: 2001 is out of range: 1 to 2000"}},
		"on unknown":      {checks("- {name: a, tcp: {}, on_unknown: down, unknown_grace: -1s}\n"), []string{`maitred.yaml:5: checks[0].on_unknown: "down" is not what unknown can count as: one of hold, fail, pass`, "maitred.yaml:5: checks[0].unknown_grace: -1s is out of range: 0s to 24h"}},
		"defaults, once":  {checks("- {name: a, tcp: {}}\n- {name: b, tcp: {}}\n") + "health: {defaults: {timeout: 9s, fall: 0}}\n", []string{"maitred.yaml:7: health.defaults.fall: 0 is out of range: 1 to 1000", "maitred.yaml:7: health.defaults.timeout: 9s is longer than the interval of 5s"}},
	})
}

func TestMistakesOfPools(t *testing.T) {
	pools := func(lines string) string { return director + service + "pools:\n" + lines }
	server := func(keys string) string { return pools("- name: app\n  servers:\n  - {" + keys + "}\n") }
	testMistakes(t, map[string]mistake{
		"no servers": {pools("- name: app\n  servers: []\n"), []string{"maitred.yaml:5: pools[0].servers: is missing: a pool has at least one server"}},
		"one address, no names": {pools("- name: app\n  servers:\n  - {address: 10.0.0.1, port: 80}\n  - {address: 10.0.0.1, port: 81}\n"), []string{
			"maitred.yaml:7: pools[0].servers[1].name: is missing here and at maitred.yaml:6: both servers have the address 10.0.0.1, give them names"}},
		"one server, no names": {pools("- name: app\n  servers:\n  - {address: 10.0.0.1}\n  - {address: 10.0.0.1}\n"), []string{
			"maitred.yaml:7: pools[0].servers[1].address: 10.0.0.1 is a server of this pool already: at maitred.yaml:6"}},
		"pool twice":         {pools("- {name: app, servers: [{address: 10.0.0.1}]}\n- {name: app, servers: [{address: 10.0.0.1}]}\n"), []string{`maitred.yaml:5: pools[1].name: "app" is given twice: first at maitred.yaml:4`}},
		"no address":         {server("name: a"), []string{"maitred.yaml:6: pools[0].servers[0].address: is missing: give it an IP address"}},
		"host name":          {server("address: app1"), []string{`maitred.yaml:6: pools[0].servers[0].address: "app1" is neither an IP address nor a name with a dot in it`}},
		"prefix":             {server("address: 10.0.0.1/32"), []string{`maitred.yaml:6: pools[0].servers[0].address: "10.0.0.1/32" has a prefix length: write the address alone, 10.0.0.1`}},
		"port in address":    {server("address: 10.0.0.1:80"), []string{`maitred.yaml:6: pools[0].servers[0].address: "10.0.0.1:80" has a port: write the address alone, 10.0.0.1`}},
		"zone":               {server("address: 'fe80::1%eth0'"), []string{`maitred.yaml:6: pools[0].servers[0].address: "fe80::1%eth0" has a zone: an address of one link only cannot be used here`}},
		"mapped":             {server("address: '::ffff:10.0.0.1'"), []string{`maitred.yaml:6: pools[0].servers[0].address: "::ffff:10.0.0.1" is an IPv4 address in IPv6 form: write 10.0.0.1`}},
		"port zero":          {server("address: 10.0.0.1, port: 0"), []string{"maitred.yaml:6: pools[0].servers[0].port: 0 is not a port: 1 to 65535"}},
		"port too high":      {server("address: 10.0.0.1, port: 70000"), []string{"maitred.yaml:6: pools[0].servers[0].port: 70000 is not a port: 1 to 65535"}},
		"weight zero":        {server("address: 10.0.0.1, weight: 0"), []string{"maitred.yaml:6: pools[0].servers[0].weight: 0 is out of range: 1 to 65535"}},
		"weight too high":    {server("address: 10.0.0.1, weight: 65536"), []string{"maitred.yaml:6: pools[0].servers[0].weight: 65536 is out of range: 1 to 65535"}},
		"server twice":       {server("name: a, address: 10.0.0.1}\n  - {name: a, address: 10.0.0.2"), []string{`maitred.yaml:7: pools[0].servers[1].name: "a" is given twice: first at maitred.yaml:6`}},
		"address twice":      {server("name: a, address: 10.0.0.1}\n  - {name: b, address: 10.0.0.1"), []string{"maitred.yaml:7: pools[0].servers[1].address: 10.0.0.1 is a server of this pool already: at maitred.yaml:6"}},
		"name is an address": {server("address: 10.0.0.1}\n  - {name: 10.0.0.1, address: 10.0.0.2"), []string{`maitred.yaml:7: pools[0].servers[1].name: "10.0.0.1" is given twice: first at maitred.yaml:6`}},
		"check twice":        {pools("- {name: app, servers: [{address: 10.0.0.1}], checks: [web, web]}\n") + "checks: [{name: web, http: {}}]\n", []string{`maitred.yaml:4: pools[0].checks[1]: "web" is named twice`}},
		"misspelt check":     {pools("- {name: app, servers: [{address: 10.0.0.1}], checks: [wbe]}\n") + "checks: [{name: web, http: {}}]\n", []string{`maitred.yaml:4: pools[0].checks[0]: there is no check "wbe" (did you mean web?)`}},
		"no port to probe":   {pools("- {name: app, servers: [{name: a, address: 10.0.0.1, port: 80}, {name: b, address: 10.0.0.2}], checks: [up]}\n") + "checks: [{name: up, tcp: {}}]\n", []string{`maitred.yaml:4: pools[0].checks[0]: check "up" has no port to probe: server "b" has none and tcp has no usual one, give the check or the server a port`}},
	})
}

func TestMistakesOfPages(t *testing.T) {
	pages := func(keys string) string { return minimal + "pages:\n- {name: x, " + keys + "}\n" }
	testMistakes(t, map[string]mistake{
		"page twice":         {pages("status: 502}\n- {name: x"), []string{`maitred.yaml:6: pages[1].name: "x" is given twice: first at maitred.yaml:5`}},
		"named none":         {minimal + "pages: [{name: none}]\n", []string{`maitred.yaml:4: pages[0].name: "none" stands for no page: choose another name`}},
		"status 99":          {pages("status: 99"), []string{"maitred.yaml:5: pages[0].status: 99 is not an HTTP status: 200 to 599"}},
		"status 204":         {pages("status: 204"), []string{"maitred.yaml:5: pages[0].status: a response with status 204 has no body: use 502 or 503"}},
		"header injection":   {pages(`reason: "a\r\nX: b", headers: [{name: A, value: "b\nC: d"}]`), []string{"maitred.yaml:5: pages[0].headers[0].value: has a line break, which would end the line", "maitred.yaml:5: pages[0].reason: has a line break, which would end the line"}},
		"nameless header":    {pages("headers: [{value: x}]"), []string{"maitred.yaml:5: pages[0].headers[0].name: is missing"}},
		"own content length": {pages("headers: [{name: content-length, value: 1}]"), []string{"maitred.yaml:5: pages[0].headers[0].name: content-length is not yours to set: every page is whole, closes its connection and may not be stored"}},
		"long header":        {pages("headers: [{name: A, value: " + strings.Repeat("x", 520) + "}]"), []string{"maitred.yaml:5: pages[0].headers: status line and header take 671 bytes, at most 536 are possible"}},
		"retry_after":        {pages("retry_after: 1500ms"), []string{"maitred.yaml:5: pages[0].retry_after: 1.5s is not a number of whole seconds"}},
		"both bodies":        {pages("body: a, body_file: b"), []string{"maitred.yaml:5: pages[0].body_file: stands beside body: a page has one of the two"}},
		"no body file":       {pages("body_file: b.html"), []string{`maitred.yaml:5: pages[0].body_file: "b.html" cannot be read: file does not exist`}},
		"type, no body":      {pages("content_type: text/plain"), []string{"maitred.yaml:5: pages[0].body: is missing: with a content_type of your own give body or body_file"}},
		"long body":          {pages("body: " + strings.Repeat("x", 65500)), []string{"maitred.yaml:5: pages[0].body: header (148 bytes) and body (65500 bytes) take 65648 bytes, at most 65534 are possible: shorten the body by 114"}},
	})
}

func TestBodyFileTooLong(t *testing.T) {
	for name, test := range map[string]struct {
		length int
		want   string
	}{
		"as it is":    {65535, `etc/m.yaml:4: pages[0].body_file: "etc/b" is too long: header and body of a page have at most 65534 bytes`},
		"with header": {65534, "etc/m.yaml:4: pages[0].body_file: header (148 bytes) and body (65534 bytes) take 65682 bytes, at most 65534 are possible: shorten the body by 148"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"etc/m.yaml": minimal + "pages: [{name: x, body_file: b}]\n", "etc/b": strings.Repeat("x", test.length)}
			_, err := fake(files, nil).load([]string{"etc/m.yaml"})
			checkErrors(t, err, []string{test.want})
		})
	}
}
