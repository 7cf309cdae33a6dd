// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String is the outcome as configuration, metrics and the API spell it.
func (o Outcome) String() string {
	switch o {
	case OutcomeUnknown:
		return "unknown"
	case OutcomePass:
		return "pass"
	case OutcomeDegraded:
		return "degraded"
	case OutcomeFail:
		return "fail"
	}
	return fmt.Sprintf("outcome-%d", uint8(o))
}

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Outcome) UnmarshalText(text []byte) error { return parse(o, OutcomeFail, "outcome", text) }

// String is the class as configuration, metrics and the API spell it.
func (c Class) String() string {
	switch c {
	case ClassNone:
		return "none"
	case ClassRefused:
		return "refused"
	case ClassTimeout:
		return "timeout"
	case ClassUnreachable:
		return "unreachable"
	case ClassStalled:
		return "stalled"
	case ClassTLS:
		return "tls"
	case ClassProtocol:
		return "protocol"
	case ClassStatus:
		return "status"
	case ClassContent:
		return "content"
	case ClassModule:
		return "module"
	case ClassLocal:
		return "local"
	}
	return fmt.Sprintf("class-%d", uint8(c))
}

// MarshalText implements encoding.TextMarshaler.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Class) UnmarshalText(text []byte) error { return parse(c, ClassLocal, "class", text) }

// String is the hint as the configuration and the API spell it.
func (h Hint) String() string {
	switch h {
	case HintNone:
		return "none"
	case HintDrain:
		return "drain"
	case HintMaint:
		return "maint"
	}
	return fmt.Sprintf("hint-%d", uint8(h))
}

// String is the status as tables and the API spell it.
func (s Status) String() string {
	switch s {
	case StatusUnknown:
		return "unknown"
	case StatusUp:
		return "up"
	case StatusFalling:
		return "falling"
	case StatusDown:
		return "down"
	case StatusRising:
		return "rising"
	}
	return fmt.Sprintf("status-%d", uint8(s))
}

// MarshalText implements encoding.TextMarshaler.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Status) UnmarshalText(text []byte) error { return parse(s, StatusRising, "status", text) }

// String is the policy as the configuration spells it.
func (u OnUnknown) String() string {
	switch u {
	case UnknownHold:
		return "hold"
	case UnknownFail:
		return "fail"
	case UnknownPass:
		return "pass"
	}
	return fmt.Sprintf("on-unknown-%d", uint8(u))
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *OnUnknown) UnmarshalText(text []byte) error { return parse(u, UnknownPass, "choice", text) }

// String names the probe for people: "web on 10.0.0.11:80", "ping on 10.0.0.11".
func (k Key) String() string {
	if k.Target.Port() == 0 {
		return k.Check + " on " + k.Target.Addr().String()
	}
	return k.Check + " on " + k.Target.String()
}

// parse sets to to the value of an enumeration, from zero to last, that has
// the name text.
func parse[T interface {
	~uint8
	fmt.Stringer
}](to *T, last T, kind string, text []byte) error {
	for value := T(0); value <= last; value++ {
		if value.String() == string(text) {
			*to = value
			return nil
		}
	}
	return fmt.Errorf("%q is not the name of a %s", text, kind)
}

// Clip makes a text fit for a Result: one printable line of at most limit
// bytes. Servers write part of it, so that nothing in it is to be trusted.
func Clip(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if len(text) <= limit {
		return text
	}
	const more = "..."
	end := limit - len(more)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}
