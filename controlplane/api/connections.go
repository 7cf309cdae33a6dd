// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Connection is one flow that the engine in force forwards.
type Connection struct {
	Protocol string   `json:"protocol"` // tcp, udp
	Client   string   `json:"client"`   // address and port
	Service  string   `json:"service,omitempty"`
	Virtual  string   `json:"virtual"`          // address and port that the client asked for
	Server   string   `json:"server,omitempty"` // pool/name; absent where the configuration has none such
	Address  string   `json:"server_address"`   // and port
	Source   string   `json:"source,omitempty"` // full NAT: what the server takes for the client
	State    string   `json:"state"`
	Idle     *float64 `json:"idle_seconds,omitempty"` // IPVS does not tell
	Left     float64  `json:"left_seconds"`           // until it is forgotten, if nothing comes
}

// ConnectionTotal counts the connections of one service to one server.
type ConnectionTotal struct {
	Service     string         `json:"service,omitempty"`
	Server      string         `json:"server,omitempty"`
	Address     string         `json:"server_address"`
	Connections int            `json:"connections"`
	States      map[string]int `json:"states"`
}

// Filter says which connections are wanted. What is left empty does not matter.
type Filter struct {
	Service string       // name
	Server  string       // pool/name, or address
	Client  netip.Prefix // where the client is
	State   string       // as the engine names it
	Proto   string       // tcp, udp
	Limit   int          // at most so many; zero: all
}

// FilterError says what is wrong with a filter, and what would be right.
type FilterError struct{ Text string }

func (e *FilterError) Error() string { return e.Text }

func badFilter(format string, args ...any) error {
	return &FilterError{fmt.Sprintf(format, args...)}
}

// form is the filter as a query names it.
func (f Filter) form() url.Values {
	form := url.Values{}
	set := func(key, value string) {
		if value != "" {
			form.Set(key, value)
		}
	}
	set("service", f.Service)
	set("server", f.Server)
	set("state", f.State)
	set("proto", f.Proto)
	if f.Client.IsValid() {
		set("client", f.Client.String())
	}
	if f.Limit > 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	return form
}

// filterOf reads a query. A key that there is not would be a filter that is not
// applied: it is an error.
func filterOf(form url.Values) (f Filter, err error) {
	known := []string{"service", "server", "client", "state", "proto", "limit", "count"}
	for key := range form {
		if !slices.Contains(known, key) {
			return f, badFilter("%q is no filter: there are %s", key, strings.Join(known, ", "))
		}
	}
	f.Service, f.Server, f.State = form.Get("service"), form.Get("server"), strings.ToLower(form.Get("state"))
	if f.Proto, err = ParseProto(form.Get("proto")); err != nil {
		return f, err
	}
	if f.Client, err = ParseClient(form.Get("client")); err != nil {
		return f, err
	}
	if v := form.Get("limit"); v != "" {
		if f.Limit, err = strconv.Atoi(v); err != nil || f.Limit < 0 {
			return f, badFilter("limit: %q is not a count of connections", v)
		}
	}
	return f, nil
}

// ParseProto reads the name of a protocol; empty is any.
func ParseProto(text string) (string, error) {
	proto := strings.ToLower(text)
	if proto != "" && proto != "tcp" && proto != "udp" {
		return "", badFilter("protocol %q: there are tcp and udp", text)
	}
	return proto, nil
}

// ParseClient reads an address or a prefix; empty is the zero prefix.
func ParseClient(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, badFilter("client %q: it takes an address or a prefix, such as 192.0.2.7 or 2001:db8::/32", text)
	}
	return p.Masked(), nil
}

// totals counts connections by service and server.
type totals map[totalKey]*ConnectionTotal

type totalKey struct{ service, server, address string }

func (t totals) add(c Connection) {
	key := totalKey{c.Service, c.Server, c.Address}
	sum := t[key]
	if sum == nil {
		sum = &ConnectionTotal{Service: c.Service, Server: c.Server, Address: c.Address, States: map[string]int{}}
		t[key] = sum
	}
	sum.Connections++
	sum.States[c.State]++
}

func (t totals) list() []ConnectionTotal {
	out := make([]ConnectionTotal, 0, len(t))
	for _, sum := range t {
		out = append(out, *sum)
	}
	slices.SortFunc(out, func(a, b ConnectionTotal) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Address, b.Address))
	})
	return out
}
