// SPDX-License-Identifier: Apache-2.0

package state

import (
	"strconv"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// State is all that the director has decided, and why. It is a value: Apply
// returns a new one and leaves the old untouched.
type State struct {
	Config   *config.Config
	Probes   map[checkers.Key]Probe
	Servers  map[ServerID]Server
	Services map[string]Service
	// Overrides are what operators have decided, by the service's name in the file.
	Overrides map[string]Override
	// ServerOverrides are what they have decided of real servers.
	ServerOverrides map[ServerID]ServerOverride
	Guard           Guard
	// Loads are what services had to carry when it was measured last, by name.
	Loads map[string]Load
}

// Override is what an operator has decided for a service; it holds until it is
// taken back. The zero value is none.
type Override struct {
	Mode  OverrideMode `json:"mode"`
	Page  string       `json:"page,omitempty"` // in place of the service's; empty: that
	Shed  float64      `json:"shed,omitempty"` // the part of new connections that get the page, for OverrideShed
	Since time.Time    `json:"since,omitzero"`
}

// OverrideMode is what a service does because an operator says so.
type OverrideMode string

// The modes of an override. OverrideOn: it says sorry, whatever its servers do.
// OverrideOff: it serves, even with no server. OverrideShed: it sheds load.
const (
	OverrideAuto OverrideMode = ""
	OverrideOn   OverrideMode = "on"
	OverrideOff  OverrideMode = "off"
	OverrideShed OverrideMode = "shed"
)

// Load is what a service carries.
type Load struct {
	Connections  int     // that are open
	NewPerSecond float64 // over the last second or more
	Overloaded   bool    // every server that is up has its upper threshold
}

// Probe is the last verdict of one check on one target.
type Probe struct {
	Status  checkers.Status // StatusUnknown, StatusUp or StatusDown
	Outcome checkers.Outcome
	Class   checkers.Class
	Percent int // of its weight that the server should have; zero: the check does not say
	Hint    checkers.Hint
	Message string
	Since   time.Time
}

// ServerID names a real server within its pool.
type ServerID struct{ Pool, Name string }

// String is pool and name, with a slash between.
func (id ServerID) String() string { return id.Pool + "/" + id.Name }

// Verdict is the state of a real server.
type Verdict uint8

// The verdicts. VerdictUnknown: too few of its checks have had a result yet to
// decide. VerdictDegraded: up, with less weight. VerdictDrain: its checks say no,
// but the host still accepts connections: new ones go elsewhere, open ones are
// kept. VerdictDown: it does not.
const (
	VerdictUnknown Verdict = iota
	VerdictUp
	VerdictDegraded
	VerdictDrain
	VerdictDown
)

// Serves tells whether a server of this verdict gets new connections.
func (v Verdict) Serves() bool { return v == VerdictUp || v == VerdictDegraded }

// fails tells whether it is known that it gets none.
func (v Verdict) fails() bool { return v == VerdictDrain || v == VerdictDown }

// String names the verdict as operators read it.
func (v Verdict) String() string {
	switch v {
	case VerdictUnknown:
		return "unknown"
	case VerdictUp:
		return "up"
	case VerdictDegraded:
		return "degraded"
	case VerdictDrain:
		return "drain"
	case VerdictDown:
		return "down"
	}
	return "verdict " + strconv.Itoa(int(v))
}

// Server is what was decided on a real server.
type Server struct {
	ID      ServerID
	Config  config.Server
	Verdict Verdict
	Weight  int     // effective; zero unless it serves
	Factors Factors // what the weight comes from
	Reason  string  // the check that decided and what it said
	Since   time.Time
	// Own is what its checks alone say, whoever says otherwise, and Before what they
	// said before they took it from service, which was when it Fell; zero: they did
	// not.
	Own, Before Verdict
	OwnReason   string
	Gave        Factors // what its checks gave it Before
	Fell        time.Time
	Probed      bool // it has checks
	Held        bool // by the guard
	Override    ServerOverride
	// Cold tells that it has not served lately: when it does its slow start begins.
	Cold bool
	Ramp time.Time // when its slow start began; zero: it is not in one
	Step time.Time // when its weight grows next; zero: it does not
}

// Mode is the state of a virtual service.
type Mode uint8

// The modes. ModePending: too few results yet to decide; what the kernel holds
// is left as it is. ModeLinger: serving, while exchanges of the sorry page that
// are still in flight are finished. ModeShed: serving, while a part of the new
// connections get a page. ModeBackup: the servers of the sorry pool serve.
const (
	ModePending Mode = iota
	ModeServe
	ModeSorry
	ModeLinger
	ModeShed
	ModeBackup
)

// String names the mode as operators read it.
func (m Mode) String() string {
	switch m {
	case ModePending:
		return "pending"
	case ModeServe:
		return "serve"
	case ModeSorry:
		return "sorry"
	case ModeLinger:
		return "linger"
	case ModeShed:
		return "shed"
	case ModeBackup:
		return "backup"
	}
	return "mode " + strconv.Itoa(int(m))
}

// Service is what was decided on a virtual service.
type Service struct {
	Name    string
	Mode    Mode
	Orphans config.Orphans // never auto: pass, reset or drop
	Live    int            // servers that are up
	Pool    string         // whose servers were counted
	Reason  string         // "2 of 2 servers up", "0 of 2 servers up, quorum 1"
	Since   time.Time
	// LingerUntil is when exchanges of the page that are in flight are given up;
	// in ModeLinger, and in ModeBackup after a time of the page; else zero.
	LingerUntil time.Time
	Page        string   // name of the page in force, to be shown now or in the next outage; empty: none
	All         bool     // its servers get new connections whatever their checks say: it is below its quorum
	Shed        float64  // only in ModeShed: the part of new connections that get the page
	Override    Override // in force
	// Own is what its own servers alone would make of it, whoever says otherwise:
	// ModePending, ModeServe or ModeSorry.
	Own      Mode
	Overload Overload
	DecideBy time.Time // only while Own is ModePending: then unknown counts as down
	// Held, only while Own is ModePending, is what the kernel goes on with until
	// then; ModePending: nothing, or it is not known.
	Held Mode
}

// Overload tells whether a service has more load than it is meant to carry, and
// since when that is so or not so.
type Overload struct {
	On    bool
	Since time.Time // zero: it never had
	Why   string    // "12000 connections, limit 10000"; empty unless On
}

// Event is what State is changed by.
type Event interface{ event() }

// Loaded is a configuration that takes the place of the one before.
type Loaded struct {
	Config *config.Config
	// Held is what the kernel was found to hold, at a start: the mode of each
	// row. Of its own services a State knows better.
	Held map[config.Virtual]Mode
}

// Probed is a probe's transition.
type Probed struct{ Transition checkers.Transition }

// Overridden is an operator's word on a service; the zero Override takes it back.
type Overridden struct {
	Service  string // as the file names it
	Override Override
}

// Measured is what services carry, by name.
type Measured struct{ Loads map[string]Load }

// Tick is the passing of time: Next tells when one is due.
type Tick struct{}

func (Loaded) event()     {}
func (Probed) event()     {}
func (Overridden) event() {}
func (Measured) event()   {}
func (Tick) event()       {}

// Change is something that an operator wants to hear of: one log line, one
// event of the API.
type Change struct {
	At       time.Time
	Kind     Kind
	Name     string // service, or pool/server
	From, To string // both empty: the reason says it all
	Reason   string
	Step     bool // one of many alike, of which the first and the last are worth a line in a log
}

// Kind is what a Change is about.
type Kind string

// The kinds of changes.
const (
	KindServer  Kind = "server"
	KindService Kind = "service"
	KindConfig  Kind = "config"
	KindGuard   Kind = "guard"
)
