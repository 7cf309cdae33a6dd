// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"
	"testing"
)

// Whatever the file says, there is a configuration that keeps its promises, or
// an error of one line for each problem.
func FuzzLoad(f *testing.F) {
	f.Add(Reference())
	f.Add(minimal)
	f.Add(one("addresses: [192.0.2.1, '2001:db8::1'], ports: [80, 443], pool: both, quorum: {min: 50%, hysteresis: 10%}, sorry: none"))
	f.Add(one("addresses: [192.0.2.1], ports: [53], pool: four, protocol: udp"))
	f.Add(one("addresses: ['2001:db8::9'], ports: [80], pool: four, method: tun, scheduler: mh, hash: port, tunnel: {type: gue}, on_down: keep"))
	f.Add(through("http: {}", "{name: s, addresses: [192.0.2.1], ports: [80], pool: four}"))
	f.Add(engineOf(ForwardingEBPF, "{name: s, addresses: [192.0.2.1], ports: [80], pool: app, method: fullnat}"))
	f.Add(minimal + "checks: [{name: a, http: &h {path: /x, expect: {status: [\"200-299\"]}}}, {name: b, http: *h}]")
	f.Add(minimal + "include: [\"*.yaml\", '${HOME}']\nadmin:\n  socket: ${HOME}/$${x}\n")
	f.Add(withPage("protocol: smtp, text: Down"))
	f.Add(withPage("protocol: raw, bytes: \"a\\0b\", contact: c"))
	f.Add(withPage("template: true, contact: c, reason: '{{service}}', body: '{{time}} {{contact}}', variants: [{hosts: [a, '[::1]'], status: 429, headers: [{name: B, value: c}]}]"))
	f.Add(minimalWith("protocol: udp, sorry: {page: x}") + "pages: [{name: x, protocol: dns}]\n")
	f.Add("director: &a [*a]\n")
	f.Add("a: &a [1, 2]\nb: {<<: *a, ? [x] : y}\n")
	f.Add("\tdirector: !!binary x\n--- \n")
	f.Fuzz(func(t *testing.T, text string) {
		files := map[string]string{"m.yaml": text, "more.yaml": "checks: [{name: more, tcp: {port: 1}}]", "closed.html": "closed"}
		cfg, err := fake(files, map[string]string{"HOME": "/root"}).load([]string{"m.yaml"})
		if err == nil {
			checkInvariants(t, cfg)
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 || cfg != nil {
			t.Fatalf("error %T, configuration %v: %v", err, cfg, err)
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != len(all) {
			t.Errorf("%d problems in %d lines:\n%v", len(all), len(lines), err)
		}
		for _, p := range all {
			if p.File == "" || p.Message == "" || p.Line < 0 || p.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+2 {
				t.Errorf("problem %+v", p)
			}
		}
	})
}
