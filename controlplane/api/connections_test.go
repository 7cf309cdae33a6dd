// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type lister = func(context.Context, Filter, func(Connection) error) error

// listing is a daemon with those connections, which then fails.
func listing(fail error, all ...Connection) lister {
	return func(_ context.Context, _ Filter, yield func(Connection) error) error {
		for _, c := range all {
			if err := yield(c); err != nil {
				return err
			}
		}
		return fail
	}
}

func some() []Connection {
	idle := 1.0
	return []Connection{
		{Protocol: "tcp", Client: "203.0.113.1:1000", Service: "shop", Virtual: "192.0.2.10:80", Server: "app/a", Address: "10.0.0.11:80", State: "open", Idle: &idle, Left: 899},
		{Protocol: "tcp", Client: "203.0.113.2:1000", Service: "shop", Virtual: "192.0.2.10:80", Server: "app/a", Address: "10.0.0.11:80", State: "fin", Left: 19},
		{Protocol: "tcp", Client: "203.0.113.3:1000", Service: "api", Virtual: "192.0.2.10:81", Server: "app/b", Address: "10.0.0.12:81", State: "open", Left: 9},
	}
}

func TestConnectionsArriveWhole(t *testing.T) {
	c, _ := serve(t, fakeDaemon{connections: listing(nil, some()...)}, NewEvents())
	var got []Connection
	if err := c.Connections(t.Context(), Filter{}, func(c Connection) error { got = append(got, c); return nil }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(some(), got); d != "" {
		t.Errorf("connections (-want +got):\n%s", d)
	}
	sums, err := c.ConnectionTotals(t.Context(), Filter{})
	want := []ConnectionTotal{
		{Service: "api", Server: "app/b", Address: "10.0.0.12:81", Connections: 1, States: map[string]int{"open": 1}},
		{Service: "shop", Server: "app/a", Address: "10.0.0.11:80", Connections: 2, States: map[string]int{"open": 1, "fin": 1}},
	}
	if d := cmp.Diff(want, sums); d != "" || err != nil {
		t.Errorf("totals, %v (-want +got):\n%s", err, d)
	}
}

// Many more than fit any buffer: they arrive while the daemon still lists them.
func TestConnectionsStream(t *testing.T) {
	const many = 50_000
	seen := make(chan struct{})
	c, _ := serve(t, fakeDaemon{connections: func(ctx context.Context, _ Filter, yield func(Connection) error) error {
		for i := range many {
			if i == many-1 {
				select {
				case <-seen:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := yield(Connection{Client: fmt.Sprintf("203.0.113.1:%d", i)}); err != nil {
				return err
			}
		}
		return nil
	}}, NewEvents())
	n := 0
	err := c.Connections(t.Context(), Filter{}, func(Connection) error {
		if n++; n == 1 {
			close(seen)
		}
		return nil
	})
	if err != nil || n != many {
		t.Errorf("%d connections, %v", n, err)
	}
}

func TestFilterArrivesWhole(t *testing.T) {
	want := Filter{Service: "shop", Server: "app/a", Client: netip.MustParsePrefix("2001:db8::/32"), State: "open", Proto: "tcp", Limit: 7}
	var got Filter
	c, _ := serve(t, fakeDaemon{connections: func(_ context.Context, f Filter, _ func(Connection) error) error { got = f; return nil }}, NewEvents())
	if err := c.Connections(t.Context(), want, nil); err != nil || got != want {
		t.Errorf("filter %+v, %v; want %+v", got, err, want)
	}
}

func TestBadFilters(t *testing.T) {
	c, _ := serve(t, fakeDaemon{}, NewEvents())
	for query, want := range map[string]string{
		"proto=sctp":      `protocol "sctp": there are tcp and udp`,
		"client=home":     `client "home": it takes an address or a prefix, such as 192.0.2.7 or 2001:db8::/32`,
		"limit=few":       `limit: "few" is not a count of connections`,
		"limit=-1":        `limit: "-1" is not`,
		"servers=shop":    `"servers" is no filter: there are service, server, client, state, proto, limit`,
		"proto=x&count=1": `protocol "x"`,
	} {
		_, err := c.do(t.Context(), http.MethodGet, "/v1/connections?"+query)
		var bad *FilterError
		if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", query, err, want)
		}
	}
}

func TestParseClient(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.7/24": "192.0.2.0/24", "2001:db8::1": "2001:db8::1/128",
		"::ffff:192.0.2.7": "192.0.2.7/32", "": "invalid Prefix",
	} {
		if got, err := ParseClient(text); err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestConnectionsThatFail(t *testing.T) {
	fault := errors.New("injected fault")
	for _, tc := range []struct {
		name string
		list lister
		want string
		bad  bool // the filter
	}{
		{"at once", listing(fault), "injected fault", false},
		{"the filter", listing(&FilterError{"there is no such service"}), "there is no such service", true},
		{"on the way", listing(fault, some()...), "the list breaks off: injected fault", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := serve(t, fakeDaemon{connections: tc.list}, NewEvents())
			err := c.Connections(t.Context(), Filter{}, func(Connection) error { return nil })
			var bad *FilterError
			if err == nil || err.Error() != tc.want || errors.As(err, &bad) != tc.bad {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if _, err := c.ConnectionTotals(t.Context(), Filter{}); err == nil {
				t.Error("totals of a list that fails")
			}
		})
	}
	t.Run("the reader", func(t *testing.T) {
		c, _ := serve(t, fakeDaemon{connections: listing(nil, some()...)}, NewEvents())
		if err := c.Connections(t.Context(), Filter{}, func(Connection) error { return fault }); !errors.Is(err, fault) {
			t.Errorf("error %v", err)
		}
	})
}

func TestRing(t *testing.T) {
	want := Ring{Slots: 3, Servers: []RingShare{{"app/a", 2}, {"app/b", 1}}}
	c, _ := serve(t, fakeDaemon{ring: func(service string) (Ring, error) {
		if service != "shop/ipv4" {
			return Ring{}, &FilterError{"there is no service " + service}
		}
		return want, nil
	}}, NewEvents())
	got, err := c.Ring(t.Context(), "shop/ipv4")
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("ring, %v (-want +got):\n%s", err, d)
	}
	if _, err := c.Ring(t.Context(), "x"); err == nil || err.Error() != "there is no service x" {
		t.Errorf("error %v", err)
	}
}
