// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// fakeTraffic tells what it is given.
type fakeTraffic struct {
	flows []Flow
	load  Load
	err   error
	asked int // flows that were handed out
}

func (t *fakeTraffic) States() []string { return ebpfFlows{}.States() }

func (t *fakeTraffic) Flows(yield func(Flow) bool) error {
	for _, f := range t.flows {
		t.asked++
		if !yield(f) {
			return nil
		}
	}
	return t.err
}

func (t *fakeTraffic) Load(*config.Config) (Load, error) { return t.load, t.err }

func endpoint(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// someFlows are three of shop's, one to a server that the configuration has no
// more, and one of a service that it has no more.
func someFlows() []Flow {
	shop := config.Virtual{Addr: endpoint("192.0.2.10:80"), Proto: config.TCP}
	gone := config.Virtual{Addr: endpoint("192.0.2.99:53"), Proto: config.UDP}
	return []Flow{
		{shop, endpoint("203.0.113.1:1000"), endpoint("10.0.0.11:0"), netip.AddrPort{}, "open", 2 * time.Second, 898 * time.Second},
		{shop, endpoint("203.0.113.2:1001"), endpoint("10.0.0.12:80"), endpoint("10.0.0.1:5000"), "fin", 0, 120 * time.Second},
		{shop, endpoint("[2001:db8::1]:1002"), endpoint("10.0.0.77:80"), netip.AddrPort{}, "open", -1, time.Second},
		{shop, endpoint("203.0.113.4:1003"), netip.AddrPort{}, netip.AddrPort{}, "new", 0, time.Second},
		{gone, endpoint("203.0.113.5:1004"), endpoint("10.0.0.11:53"), netip.AddrPort{}, "udp", 0, 300 * time.Second},
	}
}

// withTraffic is a server that has decided nothing yet and knows those flows.
func withTraffic(traffic Traffic) *Server {
	s := New(Options{})
	st := *s.decider.snapshot.Load()
	st.Config = shop("/nowhere")
	s.decider.snapshot.Store(&st)
	s.parts = Parts{Engine: &fakeEngine{journal: newJournal()}, Traffic: traffic}
	return s
}

func TestConnectionsHaveNames(t *testing.T) {
	var got []api.Connection
	err := withTraffic(&fakeTraffic{flows: someFlows()}).Connections(t.Context(), api.Filter{}, func(c api.Connection) error {
		got = append(got, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	two, zero := 2.0, 0.0
	want := []api.Connection{
		{Protocol: "tcp", Client: "203.0.113.1:1000", Service: "shop", Virtual: "192.0.2.10:80", Server: "app/a", Address: "10.0.0.11:80", State: "open", Idle: &two, Left: 898},
		{Protocol: "tcp", Client: "203.0.113.2:1001", Service: "shop", Virtual: "192.0.2.10:80", Server: "app/b", Address: "10.0.0.12:80", Source: "10.0.0.1:5000", State: "fin", Idle: &zero, Left: 120},
		{Protocol: "tcp", Client: "[2001:db8::1]:1002", Service: "shop", Virtual: "192.0.2.10:80", Address: "10.0.0.77:80", State: "open", Left: 1},
		{Protocol: "tcp", Client: "203.0.113.4:1003", Service: "shop", Virtual: "192.0.2.10:80", State: "new", Idle: &zero, Left: 1},
		{Protocol: "udp", Client: "203.0.113.5:1004", Virtual: "192.0.2.99:53", Address: "10.0.0.11:53", State: "udp", Idle: &zero, Left: 300},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("connections (-want +got):\n%s", d)
	}
}

func TestConnectionsFilter(t *testing.T) {
	for _, tc := range []struct {
		name   string
		filter api.Filter
		want   string // ports of the clients
	}{
		{"all", api.Filter{}, "1000 1001 1002 1003 1004"},
		{"service", api.Filter{Service: "shop"}, "1000 1001 1002 1003"},
		{"server by name", api.Filter{Server: "app/a"}, "1000"},
		{"server by address", api.Filter{Server: "10.0.0.11"}, "1000 1004"},
		{"server by address and port", api.Filter{Server: "10.0.0.11:80"}, "1000"},
		{"client", api.Filter{Client: netip.MustParsePrefix("203.0.113.0/30")}, "1000 1001"},
		{"client of IPv6", api.Filter{Client: netip.MustParsePrefix("2001:db8::/32")}, "1002"},
		{"state", api.Filter{State: "fin"}, "1001"},
		{"protocol", api.Filter{Proto: "udp"}, "1004"},
		{"several", api.Filter{Service: "shop", State: "open", Server: "app/a"}, "1000"},
		{"limit", api.Filter{Service: "shop", Limit: 2}, "1000 1001"},
		{"none", api.Filter{Service: "shop", Proto: "udp"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			err := withTraffic(&fakeTraffic{flows: someFlows()}).Connections(t.Context(), tc.filter, func(c api.Connection) error {
				got = append(got, c.Client[strings.LastIndex(c.Client, ":")+1:])
				return nil
			})
			if strings.Join(got, " ") != tc.want || err != nil {
				t.Errorf("got %v, %v; want %s", got, err, tc.want)
			}
		})
	}
}

func TestConnectionsRefuseNamesThatThereAreNot(t *testing.T) {
	for _, tc := range []struct {
		filter api.Filter
		want   string
	}{
		{api.Filter{Service: "shpo"}, `there is no service "shpo" (did you mean shop?): there are shop`},
		{api.Filter{Server: "app/c"}, `there is no server "app/c"`},
		{api.Filter{Server: "app/c"}, `there are app/a, app/b`},
		{api.Filter{State: "established"}, `there is no state "established": there are new, open, fin, reset, udp`},
	} {
		err := withTraffic(&fakeTraffic{}).Connections(t.Context(), tc.filter, func(api.Connection) error { return nil })
		var bad *api.FilterError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.filter, err, tc.want)
		}
	}
}

func TestConnectionsOfNobody(t *testing.T) {
	err := withTraffic(nil).Connections(t.Context(), api.Filter{}, func(api.Connection) error { return nil })
	if want := "there are no connections to list: nothing is forwarded here (no IPVS here)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestConnectionsEnd(t *testing.T) {
	count := func(ctx context.Context, s *Server, f api.Filter, fail error) error {
		return s.Connections(ctx, f, func(api.Connection) error { return fail })
	}
	t.Run("reader fails", func(t *testing.T) {
		traffic := &fakeTraffic{flows: someFlows()}
		if err := count(t.Context(), withTraffic(traffic), api.Filter{}, errInjected); !errors.Is(err, errInjected) || traffic.asked != 1 {
			t.Errorf("%v after %d flows", err, traffic.asked)
		}
	})
	t.Run("table fails", func(t *testing.T) {
		traffic := &fakeTraffic{flows: someFlows(), err: errInjected}
		if err := count(t.Context(), withTraffic(traffic), api.Filter{}, nil); !errors.Is(err, errInjected) {
			t.Errorf("%v", err)
		}
	})
	t.Run("reader is gone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		traffic := &fakeTraffic{flows: someFlows()}
		if err := count(ctx, withTraffic(traffic), api.Filter{}, nil); !errors.Is(err, context.Canceled) || traffic.asked != 1 {
			t.Errorf("%v after %d flows", err, traffic.asked)
		}
	})
	t.Run("limit", func(t *testing.T) {
		traffic := &fakeTraffic{flows: someFlows()}
		if err := count(t.Context(), withTraffic(traffic), api.Filter{Limit: 2}, nil); err != nil || traffic.asked != 2 {
			t.Errorf("%v after %d flows", err, traffic.asked)
		}
	})
}

func TestFew(t *testing.T) {
	names := strings.Split(strings.Repeat("x ", 24)+"x", " ")
	if got := few(names); !strings.HasSuffix(got, "x and 5 more") || strings.Count(got, "x") != 20 {
		t.Errorf("%q", got)
	}
}
