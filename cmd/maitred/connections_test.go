// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// someConnections are what a daemon knows; it keeps the filter that it was asked with.
func someConnections(asked *api.Filter) func(api.Filter, func(api.Connection) error) error {
	return func(f api.Filter, yield func(api.Connection) error) error {
		*asked = f
		idle := 2.0
		for _, c := range []api.Connection{
			{Protocol: "tcp", Client: "203.0.113.7:41000", Service: "shop", Virtual: "192.0.2.10:80", Server: "app/a", Address: "10.0.0.11:80", State: "open", Idle: &idle, Left: 898},
			{Protocol: "tcp", Client: "203.0.113.200:1", Service: "shop", Virtual: "192.0.2.10:80", Server: "app/b", Address: "10.0.0.12:80", State: "fin", Idle: &idle, Left: 118, Source: "10.0.0.1:1024"},
			{Protocol: "udp", Client: "[2001:db8::7]:53", Virtual: "[2001:db8::10]:53", Address: "[2001:db8:1::11]:53", State: "udp", Left: 1},
		} {
			if err := yield(c); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestConnectionsTable(t *testing.T) {
	var asked api.Filter
	e := fakeServer(t, fakeDaemon{connections: someConnections(&asked)}, api.NewEvents())
	got := run(t, e, "connections")
	if got.code != exitDone || got.stderr != "" || asked.Limit != 101 {
		t.Errorf("exit %d, stderr %q, asked %+v", got.code, got.stderr, asked)
	}
	golden(t, "connections.golden", got.stdout)
	if alias := run(t, e, "conns"); alias != got {
		t.Errorf("conns: %+v", alias)
	}
}

func TestConnectionsSayThatThereAreMore(t *testing.T) {
	var asked api.Filter
	e := fakeServer(t, fakeDaemon{connections: someConnections(&asked)}, api.NewEvents())
	got := run(t, e, "connections", "-n", "2", "-o", "json")
	want := "note: there are more than 2: -n 0 shows all, --count counts them\n"
	if got.code != exitDone || got.stderr != want || strings.Count(got.stdout, "\n") != 2 {
		t.Errorf("%+v", got)
	}
	var first api.Connection
	if err := json.NewDecoder(strings.NewReader(got.stdout)).Decode(&first); err != nil || first.Server != "app/a" {
		t.Errorf("first %+v, %v", first, err)
	}
}

func TestConnectionsFilters(t *testing.T) {
	var asked api.Filter
	e := fakeServer(t, fakeDaemon{connections: someConnections(&asked)}, api.NewEvents())
	run(t, e, "connections", "--service", "shop", "--server", "app/a", "--client", "203.0.113.9", "--state", "open", "--proto", "TCP", "-n", "0")
	want := api.Filter{Service: "shop", Server: "app/a", Client: netip.MustParsePrefix("203.0.113.9/32"), State: "open", Proto: "tcp"}
	if d := cmp.Diff(want, asked, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("filter (-want +got):\n%s", d)
	}
}

func TestConnectionsCount(t *testing.T) {
	var asked api.Filter
	e := fakeServer(t, fakeDaemon{connections: someConnections(&asked)}, api.NewEvents())
	got := run(t, e, "connections", "--count")
	want := "SERVICE  SERVER  TO                   CONNECTIONS  STATES\n" +
		"-        -       [2001:db8:1::11]:53  1            1 udp\n" +
		"shop     app/a   10.0.0.11:80         1            1 open\n" +
		"shop     app/b   10.0.0.12:80         1            1 fin\n" +
		"3 connections\n"
	if got != (outcome{exitDone, want, ""}) || asked.Limit != 0 {
		t.Errorf("%+v, want %q; asked %+v", got, want, asked)
	}
	var sums []api.ConnectionTotal
	got = run(t, e, "connections", "--count", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &sums); err != nil || len(sums) != 3 {
		t.Errorf("json %q: %v", got.stdout, err)
	}
}

func TestConnectionsThatCannotBeListed(t *testing.T) {
	failing := func(err error) env {
		return fakeServer(t, fakeDaemon{connections: func(api.Filter, func(api.Connection) error) error { return err }}, api.NewEvents())
	}
	unknown := failing(&api.FilterError{Text: `there is no service "x": there are shop`})
	for _, tc := range []struct {
		name string
		env  env
		args []string
		want outcome
	}{
		{"none", failing(nil), nil, outcome{exitDone, "", "no connections\n"}},
		{"none in JSON", failing(nil), []string{"-o", "json"}, outcome{exitDone, "", ""}},
		{"none to count", failing(nil), []string{"--count"}, outcome{exitDone, "0 connections\n", ""}},
		{"no such service", unknown, []string{"--service", "x"}, outcome{exitUsage, "", "maitred: there is no service \"x\": there are shop\n"}},
		{"no such service to count", unknown, []string{"--service", "x", "--count"}, outcome{exitUsage, "", "maitred: there is no service \"x\": there are shop\n"}},
		{"no such protocol", env{}, []string{"--proto", "sctp"}, outcome{exitUsage, "", "maitred: protocol \"sctp\": there are tcp and udp\n"}},
		{"no such client", env{}, []string{"--client", "home"}, outcome{exitUsage, "",
			"maitred: client \"home\": it takes an address or a prefix, such as 192.0.2.7 or 2001:db8::/32\n"}},
		{"no such limit", env{}, []string{"-n", "-1"}, outcome{exitUsage, "", "maitred: --limit -1: it takes a count of connections, 0 for all\n"}},
		{"nobody forwards", failing(errors.New("nothing is forwarded here")), nil, outcome{exitFailed, "", "maitred: nothing is forwarded here\n"}},
		{"an argument", env{}, []string{"shop"}, outcome{exitUsage, "", "maitred: maitred connections takes no argument, such as \"shop\": see maitred --help\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := run(t, tc.env, append([]string{"connections"}, tc.args...)...); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// A long table is written in parts, with one head.
func TestConnectionsOfMany(t *testing.T) {
	const many = 2*tableRows + 1
	e := fakeServer(t, fakeDaemon{connections: func(_ api.Filter, yield func(api.Connection) error) error {
		for i := range many {
			if err := yield(api.Connection{Protocol: "tcp", Client: fmt.Sprintf("203.0.113.1:%d", i+1), State: "open"}); err != nil {
				return err
			}
		}
		return nil
	}}, api.NewEvents())
	got := run(t, e, "connections", "-n", "0")
	if lines := strings.Split(strings.TrimSpace(got.stdout), "\n"); len(lines) != many+1 || strings.Count(got.stdout, "PROTO") != 1 {
		t.Errorf("%d lines, %d heads", len(lines), strings.Count(got.stdout, "PROTO"))
	}
}
