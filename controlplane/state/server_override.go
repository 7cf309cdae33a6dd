// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// ServerOverride is what an operator has decided for a real server. It stands beside
// what its checks say, and they go on. The zero value is none.
type ServerOverride struct {
	Mode   ServerMode `json:"mode,omitempty"`
	Weight float64    `json:"weight,omitempty"` // the part of its weight that it gets, up to 10; zero: all of it
	Since  time.Time  `json:"since,omitzero"`
	Until  time.Time  `json:"until,omitzero"` // zero: until it is taken back
}

// ServerMode is what a server does because an operator says so.
type ServerMode string

// The modes of servers. ServerUp: it is up, whatever its checks say. ServerDrain: it
// gets no new connections. ServerMaint: none at all, as if it were down.
const (
	ServerAuto  ServerMode = ""
	ServerUp    ServerMode = "up"
	ServerDrain ServerMode = "drain"
	ServerMaint ServerMode = "maint"
)

// mostShare is the largest part of its weight that an operator can give a server.
const mostShare = 10

// ServerOverridden is an operator's word on a server; the zero ServerOverride takes it
// back.
type ServerOverridden struct {
	Server   ServerID
	Override ServerOverride
}

func (ServerOverridden) event() {}

// MarshalText writes it as String does: it is a key of JSON.
func (id ServerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads pool and name.
func (id *ServerID) UnmarshalText(text []byte) error {
	pool, name, ok := strings.Cut(string(text), "/")
	if !ok || pool == "" || name == "" {
		return fmt.Errorf("%q is no server: POOL/NAME", text)
	}
	*id = ServerID{Pool: pool, Name: name}
	return nil
}

// Check tells what makes no sense of an override.
func (o ServerOverride) Check() error {
	switch o.Mode {
	case ServerAuto, ServerUp:
	case ServerDrain, ServerMaint:
		if o.Weight != 0 {
			return fmt.Errorf("a server in %s has no weight", o.Mode)
		}
	default:
		return fmt.Errorf("%q is no mode: there are up, drain, maint and auto", o.Mode)
	}
	switch {
	case !(o.Weight >= 0 && o.Weight <= mostShare):
		return fmt.Errorf("%v is no part of a weight: above 0 and at most %d", o.Weight, mostShare)
	case o.none() && !o.Until.IsZero():
		return errors.New("to take back what was said takes no time")
	}
	return nil
}

func (o ServerOverride) none() bool { return o.Mode == ServerAuto && o.Weight == 0 }

func (o ServerOverride) over(now time.Time) bool { return !o.Until.IsZero() && !now.Before(o.Until) }

// same tells whether two overrides say the same, whenever they were said.
func (o ServerOverride) same(other ServerOverride) bool {
	return o.Mode == other.Mode && o.Weight == other.Weight && o.Until.Equal(other.Until)
}

// verdict is what an operator has decided, if so.
func (o ServerOverride) verdict() (Verdict, bool) {
	switch o.Mode {
	case ServerUp:
		return VerdictUp, true
	case ServerDrain:
		return VerdictDrain, true
	case ServerMaint:
		return VerdictDown, true
	case ServerAuto:
	}
	return VerdictUnknown, false
}

// String tells what an operator has said: "up with 50 % of its weight".
func (o ServerOverride) String() string {
	text := o.Mode.name()
	if o.Weight > 0 {
		text += " with " + percent(o.Weight) + " of its weight"
	}
	if !o.Until.IsZero() {
		text += " until " + o.Until.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return text
}

// said is what an operator has said, and that it was an operator.
func (o ServerOverride) said() string { return o.String() + ", by an operator" }

// Applied notes an operator's word in overrides, and returns them. Saying the same
// again changes nothing.
func (e ServerOverridden) Applied(overrides map[ServerID]ServerOverride) map[ServerID]ServerOverride {
	if e.Override.none() {
		delete(overrides, e.Server)
		return overrides
	}
	if overrides == nil {
		overrides = map[ServerID]ServerOverride{}
	}
	if !overrides[e.Server].same(e.Override) {
		overrides[e.Server] = e.Override
	}
	return overrides
}

// keepServersNamed strikes out what was said of servers that the configuration does
// not have, and tells of it, and that of which the time is up.
func (s *State) keepServersNamed(now time.Time) []Change {
	var changes []Change
	for id, o := range s.ServerOverrides {
		if !named(s.Config, id) {
			changes = append(changes, Change{At: now, Kind: KindServer, Name: id.String(), Reason: o.String() + " has ended: the server is gone"})
		}
	}
	maps.DeleteFunc(s.ServerOverrides, func(id ServerID, o ServerOverride) bool { return !named(s.Config, id) || o.over(now) })
	return byName(changes)
}

// named tells whether the configuration has a server, or a name that may lead to it
// again: the DNS may be out, or leave an address out for a while, and what an operator
// said of the server has to hold when it is back.
func named(cfg *config.Config, id ServerID) bool {
	pool, _ := cfg.Pool(id.Pool)
	return slices.ContainsFunc(pool.Servers, func(c config.Server) bool { return c.Name == id.Name }) ||
		slices.ContainsFunc(pool.Hosts, func(c config.Server) bool { return strings.HasPrefix(id.Name, c.Name+"@") })
}

// ended says why an override of a server is no more.
func (o ServerOverride) ended(now time.Time) string {
	if o.over(now) {
		return "the time of " + o.Mode.name() + ", by an operator, is up"
	}
	return "auto, by an operator"
}

func (m ServerMode) name() string { return cmp.Or(string(m), "auto") }
