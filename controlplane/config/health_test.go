// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"
)

// inPool is a configuration whose one pool, on line 2, has these keys.
func inPool(keys string) string {
	return director + "pools: [{name: app, servers: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2, slow_start: 5s}], " + keys + "}]\n" +
		service + "checks: [{name: web, http: {}}, {name: db, tcp: {port: 3306}}, {name: bare, tcp: {}}]\n"
}

func TestMistakesOfHealth(t *testing.T) {
	const line = "maitred.yaml:2: pools[0]."
	testMistakes(t, map[string]mistake{
		"both":          {inPool(`checks: [web], up_when: "any(web, db)"`), []string{line + "up_when: stands beside checks: leave one of the two out, checks: [a, b] is up_when: all(a, b)"}},
		"no expression": {inPool(`up_when: "any(web, db"`), []string{line + `up_when: "any(web, db": character 12: it ends where a comma, or the parenthesis that closes any( should be; within braces, put it in quotes`}},
		"unknown check": {inPool(`up_when: "any(web, dbb)"`), []string{line + `up_when: there is no check "dbb" (did you mean db?)`}},
		"no port":       {inPool(`up_when: "any(web, bare)"`), []string{line + `up_when: check "bare" has no port to probe: server "a" has none and tcp has no usual one, give the check or the server a port`}},
		"port named": {strings.Replace(inPool(`checks: [own]`), "{name: bare, tcp: {}}", `{name: own, exec: {command: [/bin/true, "{port}"]}}`, 1), []string{
			line + `checks[0]: check "own" has no port to probe: server "a" has none and exec has no usual one, give the check or the server a port`,
		}},
		"degraded":        {inPool("degraded: 150%"), []string{line + `degraded: "150%" is no part of the whole: above 0% and at most 100%, as in "50%"`}},
		"degraded bare":   {inPool("degraded: 0.5"), []string{line + `degraded: "0.5" is no part of the whole: above 0% and at most 100%, as in "50%"`}},
		"slow start":      {inPool("slow_start: 100ms"), []string{line + "slow_start: 100ms is out of range: 2s to 24h"}},
		"slow start long": {inPool("slow_start: 48h"), []string{line + "slow_start: 48h is out of range: 2s to 24h"}},
	})
}

// TestPortOptional: the code of others does without a port.
func TestPortOptional(t *testing.T) {
	for _, own := range []string{`exec: {command: [/bin/true, "{address}"]}`, `nagios: {command: [/bin/true]}`} {
		cfg := mustParse(t, strings.Replace(inPool(`checks: [own]`), "{name: bare, tcp: {}}", "{name: own, "+own+"}", 1))
		check, _ := cfg.Check("own")
		if got := check.Target(cfg.Pools[0].Servers[0]).String(); got != "10.0.0.1:0" {
			t.Errorf("%s: the target is %s", own, got)
		}
	}
}

func TestHealthOfPools(t *testing.T) {
	cfg := mustParse(t, inPool("up_when: 'any(web, not(db))', degraded: 25%, slow_start: 30s"))
	p := cfg.Pools[0]
	if p.When().String() != "any(web, not(db))" || len(p.Checks) != 2 || p.Degraded != 0.25 {
		t.Errorf("%+v", p)
	}
	if p.Servers[0].SlowStart != 30*time.Second || p.Servers[1].SlowStart != 5*time.Second {
		t.Errorf("%+v", p.Servers)
	}
	if p := mustParse(t, inPool("checks: [web, db]")).Pools[0]; p.When().String() != "all(web, db)" || p.Degraded != 0.5 {
		t.Errorf("%+v", p)
	}
	if p := mustParse(t, minimal).Pools[0]; len(p.When().Checks()) != 0 {
		t.Errorf("%+v", p)
	}
}
