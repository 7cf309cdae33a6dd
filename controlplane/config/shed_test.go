// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"
)

func TestShed(t *testing.T) {
	cfg := mustParse(t, director+pools+`services:
- name: whole
  addresses: [192.0.2.1]
  ports: [80]
  pool: four
  shed: {when: {connections: 100, new_per_second: 10, upper_threshold: true}, fraction: 12.5%, page: default}
- {name: status, addresses: [192.0.2.2], ports: [80], pool: four, shed: {when: {connections: 7}, fraction: 100%, status: 429}}
- {name: usual, addresses: [192.0.2.3], ports: [80], pool: four}
- {name: mail, addresses: [192.0.2.3], ports: [25], pool: four, sorry: {page: later}}
- {name: names, addresses: [192.0.2.3], ports: [53], pool: four, protocol: udp}
pages: [{name: later, protocol: smtp}]
`)
	for name, want := range map[string]Shed{
		"whole":  {Connections: 100, NewPerSecond: 10, Overloaded: true, Fraction: 0.125, Page: "default"},
		"status": {Connections: 7, Fraction: 1, Page: "busy/429"},
		"usual":  {Page: "busy"},
		"mail":   {Page: "later"},
		"names":  {},
	} {
		if s, _ := cfg.Service(name); s.Shed != want {
			t.Errorf("%s: %+v, want %+v", name, s.Shed, want)
		}
	}
	for name, want := range map[string]string{
		"busy": "HTTP/1.1 503 Service Unavailable\r\n", "busy/429": "HTTP/1.1 429 Too Many Requests\r\n",
	} {
		p, _ := cfg.Page(name)
		if text := string(p.Image.Response); !strings.HasPrefix(text, want) || !strings.Contains(text, "\r\nRetry-After: 30\r\n") {
			t.Errorf("page %s:\n%s", name, text)
		}
	}
}

func TestBusyPageIsReplaced(t *testing.T) {
	cfg := mustParse(t, minimal+"pages: [{name: busy, status: 500, body: Ours}]")
	if names := pageNames(cfg.Pages); !slices.Equal(names, []string{"busy", "default"}) {
		t.Errorf("pages %v", names)
	}
}

func TestUpperThreshold(t *testing.T) {
	cfg := mustParse(t, director+"pools: [{name: app, servers: [{address: 10.0.0.1, upper_threshold: 500}]}]\n"+service)
	if got := cfg.Pools[0].Servers[0].UpperThreshold; got != 500 {
		t.Errorf("upper_threshold %d", got)
	}
}

func TestMistakesOfShed(t *testing.T) {
	four := func(keys string) string {
		return one("addresses: [192.0.2.1], ports: [80], pool: four, " + keys)
	}
	const line = "maitred.yaml:6: services[0].shed"
	testMistakes(t, map[string]mistake{
		"no fraction":     {four("shed: {when: {connections: 10}}"), []string{line + ".fraction: is missing: say which part of the new clients is turned away, as in 30%"}},
		"no when":         {four("shed: {fraction: 30%}"), []string{line + ".fraction: never applies: say when, as in {when: {connections: 10000}}"}},
		"no part":         {four("shed: {when: {connections: 10}, fraction: 0%}"), []string{line + `.fraction: "0%" is no part of the clients: above 0% and at most 100%, as in "30%"`}},
		"too much":        {four("shed: {when: {connections: 10}, fraction: 101%}"), []string{line + `.fraction: "101%" is no part of the clients: above 0% and at most 100%, as in "30%"`}},
		"no per cent":     {four("shed: {when: {connections: 10}, fraction: 0.3}"), []string{line + `.fraction: "0.3" is no part of the clients: above 0% and at most 100%, as in "30%"`}},
		"not a number":    {four("shed: {when: {connections: 10}, fraction: NaN%}"), []string{line + `.fraction: "NaN%" is no part of the clients: above 0% and at most 100%, as in "30%"`}},
		"zero":            {four("shed: {when: {connections: 0, new_per_second: -1}, fraction: 1%}"), []string{line + ".when.connections: 0 is no limit: 1 or more", line + ".when.new_per_second: -1 is no limit: 1 or more"}},
		"neither":         {four("shed: {when: {upper_threshold: yes}, fraction: 1%}"), []string{line + `.when.upper_threshold: "yes" is not an answer: one of true, false`}},
		"unknown page":    {four("shed: {page: bsuy}"), []string{line + `.page: there is no page "bsuy" (did you mean busy?)`}},
		"page of udp":     {four("shed: {page: names}") + "pages: [{name: names, protocol: unreachable}]\n", []string{line + `.page: page "names" is of protocol unreachable, which is for udp`}},
		"page, status":    {four("shed: {page: busy, status: 429}"), []string{line + ".status: stands beside page: the page has a status, give one of the two"}},
		"no status":       {four("shed: {status: 99}"), []string{line + ".status: 99 is not an HTTP status: 200 to 599"}},
		"over udp":        {four("protocol: udp, shed: {fraction: 10%}"), []string{line + ": is not for udp: no connection is turned away there"}},
		"no threshold":    {director + "pools: [{name: p, servers: [{address: 10.0.0.1, upper_threshold: 0}]}]\nservices: [{name: s, addresses: [192.0.2.1], ports: [80], pool: p}]\n", []string{"maitred.yaml:2: pools[0].servers[0].upper_threshold: 0 is not a count of connections: 1 or more"}},
		"folder of state": {"director: {interfaces: [eth0], state_dir: var}\npools: [{name: p, servers: [{address: 10.0.0.1}]}]\nservices: [{name: s, addresses: [192.0.2.1], ports: [80], pool: p}]\n", []string{`maitred.yaml:1: director.state_dir: "var" is not an absolute path`}},
	})
}
