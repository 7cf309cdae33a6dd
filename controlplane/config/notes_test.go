// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// minimalWith gives the one service more keys.
func minimalWith(keys string) string {
	return strings.TrimSuffix(minimal, "}]\n") + ", " + keys + "}]\n"
}

func TestNotes(t *testing.T) {
	long := strings.Repeat("x", LongPage)
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"nothing to say": {minimal, nil},
		"nothing uses them": {"checks: [{name: web, http: {}}]\npages: [{name: closed}]\n" + minimal + "  \n", []string{
			`maitred.yaml:1: checks[0]: check "web" is not used by any pool`,
			`maitred.yaml:2: pages[0]: page "closed" is not used by any service: it is for maitred sorry on --page closed`,
		}},
		"a pool of nobody": {director + service + "pools:\n- {name: app, servers: [{address: 10.0.0.1}]}\n- {name: old, servers: [{address: 10.0.0.2}]}\n", []string{
			`maitred.yaml:5: pools[1]: pool "old" is not used by any service`,
		}},
		"a long page": {minimal + "pages: [{name: default, body: " + long + "}]\n", []string{
			`maitred.yaml:4: pages[0].body: page "default" has 20171 bytes: above 20000 it takes long where packets are lost, and some clients give up`,
		}},
		"on one kernel": {minimalWith("scheduler: wlc"), []string{
			"maitred.yaml:3: services[0].scheduler: on a kernel without IPVS this is refused: wlc needs live connection counts, which IPVS has and the eBPF engine has not: use wrr, rr, mh or sh",
		}},
		"on the other": {"director: {interfaces: [eth0], fullnat: {addresses: [10.0.0.9]}}\n" + pool + strings.TrimPrefix(minimalWith("method: fullnat"), director+pool), []string{
			"maitred.yaml:3: services[0].method: on a kernel with IPVS this is refused: fullnat needs the eBPF engine, IPVS has none: use nat, or forwarding: ebpf",
		}},
		"of the eBPF engine": {"director: {interfaces: [eth0], forwarding: ipvs, connections: {udp_timeout: 1m}}\npools: [{name: app, servers: [{address: 10.0.0.1, mtu: 1400}]}]\n" + service, []string{
			"maitred.yaml:1: director.connections: has no effect with forwarding: ipvs, it is for the eBPF engine",
			"maitred.yaml:2: pools[0].servers[0].mtu: has no effect with forwarding: ipvs, it is for the eBPF engine",
		}},
		"nobody counts": {"director: {interfaces: [eth0], forwarding: none}\n" + pool + strings.TrimPrefix(minimalWith("shed: {when: {connections: 5}, fraction: 10%}"), director+pool), []string{
			"maitred.yaml:3: services[0].shed.when: has no effect with forwarding: none, where no connections are counted",
		}},
		"weights of rr": {director + "pools: [{name: app, slow_start: 30s, servers: [{address: 10.0.0.1, slow_start: 5s}]}]\n" + strings.TrimPrefix(minimalWith("scheduler: rr"), director+pool), []string{
			"maitred.yaml:2: pools[0].servers[0].slow_start: has no effect with scheduler: rr, which heeds no weights",
			"maitred.yaml:2: pools[0].slow_start: has no effect with scheduler: rr, which heeds no weights",
		}},
		"full NAT of nobody": {"director: {interfaces: [eth0], forwarding: ebpf, fullnat: {addresses: [10.0.0.9]}}\n" + pool + service, []string{
			"maitred.yaml:1: director.fullnat: no service has the method fullnat",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, note := range mustParse(t, test.text).Notes() {
				got = append(got, note.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSocket(t *testing.T) {
	const usual = "/run/maitred/maitred.sock"
	for name, test := range map[string]struct {
		files map[string]string
		want  string
		err   string
	}{
		"given":              {map[string]string{"m.yaml": minimal + "admin: {socket: /a}\n"}, "/a", ""},
		"not given":          {map[string]string{"m.yaml": minimal}, usual, ""},
		"mistakes elsewhere": {map[string]string{"m.yaml": "sevices: []\nchecks: 7\nadmin: {socket: /a, sokcet: /b}\n"}, "/a", ""},
		"in another file":    {map[string]string{"m.yaml": "include: [b.yaml]\nx: y\n", "b.yaml": "admin: {socket: /b}\n"}, "/b", ""},
		"another is broken":  {map[string]string{"m.yaml": "include: [b.yaml]\nadmin: {socket: /a}\n", "b.yaml": "[\n"}, "/a", ""},
		"it may be in the broken one": {map[string]string{"m.yaml": "include: [b.yaml]\n", "b.yaml": "[\n"}, "",
			"b.yaml:1: is not YAML: did not find expected node content"},
		"misspelt":     {map[string]string{"m.yaml": "admin: {sokcet: /b}\n"}, "", "m.yaml:1: admin.sokcet: is not a key here (did you mean socket?)"},
		"not absolute": {map[string]string{"m.yaml": "admin: {socket: b}\n"}, "", `m.yaml:1: admin.socket: "b" is not an absolute path`},
		"a list":       {map[string]string{"m.yaml": "admin: {socket: [/a]}\n"}, "", "m.yaml:1: admin.socket: is a list, not a single value"},
		"no file":      {map[string]string{}, "", "m.yaml: cannot be read: file does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fake(test.files, nil).socket("m.yaml")
			if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("%q, %v, want %q, %q", got, err, test.want, test.err)
			}
		})
	}
}
