// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/maitred-lb/maitred/checkers"
)

// snmpCheck passes when the agent on the real server gives the value of an
// object (RFC 3416), and the value is as is wanted. It may set the weight.
type snmpCheck struct {
	dial      dialFunc
	community string
	user      *gosnmp.UsmSecurityParameters // of version 3; nil: version 2c
	level     gosnmp.SnmpV3MsgFlags
	oid       string
	expect    string
	linear    *linear
}

// linear maps values to percent: from at least one, to at most the other.
type linear struct{ zero, full float64 }

func snmpOptions() []Option {
	return []Option{
		{Name: "community_file", Form: FormFile, Doc: "A file with the community, for version 2c; without it and user it is public."},
		{Name: "user", Form: FormText, Doc: "The user of version 3 (RFC 3414), which authenticates by SHA."},
		{Name: "password_file", Form: FormFile, Doc: "A file with the user's password to authenticate with."},
		{Name: "privacy_file", Form: FormFile, Doc: "A file with the password to encrypt with, by AES; without it nothing is encrypted."},
		{Name: "oid", Form: FormText, Default: "1.3.6.1.2.1.1.3.0", Doc: "The object whose value is asked for; by itself how long the agent has been up."},
		{Name: "expect", Form: FormText, Doc: "The value that is wanted; without it any."},
		{Name: "full_at", Form: FormNumber, Doc: "The value at which the server gets all of its weight; with none_at, and in between the share that is in between."},
		{Name: "none_at", Form: FormNumber, Doc: "The value at which it gets none, and is drained: 100 for a load in percent."},
	}
}

func newSNMP(env Env, o *options) checkers.Checker {
	s := &snmpCheck{dial: env.Dialer.DialUDP, community: o.secret("community_file"), oid: o.text("oid", "1.3.6.1.2.1.1.3.0"), expect: o.text("expect", "")}
	if strings.Trim(s.oid, "0123456789.") != "" || strings.Contains(s.oid, "..") {
		o.reject([]string{"oid"}, "%q is not an object: write its number, 1.3.6.1.2.1.1.3.0", s.oid)
	}
	user, password := o.login()
	privacy := o.secret("privacy_file")
	switch {
	case user != "" && s.community != "":
		o.reject([]string{"community_file"}, "is of version 2c, user of version 3: give one of the two")
	case user != "" && len(password) < 8:
		o.reject([]string{"password_file"}, "needs a password of 8 bytes or more (RFC 3414 section 11.2)")
	case user == "" && privacy != "":
		o.reject([]string{"privacy_file"}, "has no effect without user")
	case user != "":
		s.user = &gosnmp.UsmSecurityParameters{UserName: user, AuthenticationProtocol: gosnmp.SHA, AuthenticationPassphrase: password}
		s.level = gosnmp.AuthNoPriv
		if privacy != "" {
			s.user.PrivacyProtocol, s.user.PrivacyPassphrase, s.level = gosnmp.AES, privacy, gosnmp.AuthPriv
		}
	case s.community == "":
		s.community = "public"
	}
	_, full := o.values["full_at"]
	_, none := o.values["none_at"]
	line := linear{float64(o.number("none_at", 0, math.MinInt32, math.MaxInt32)), float64(o.number("full_at", 0, math.MinInt32, math.MaxInt32))}
	switch {
	case full != none:
		o.reject([]string{"full_at"}, "goes with none_at: give both or neither")
	case full && line.zero == line.full:
		o.reject([]string{"full_at"}, "is the same as none_at")
	case full:
		s.linear = &line
	}
	return s
}

// Check implements Checker.
func (s *snmpCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "snmp "+target.String())
	conn, err := s.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	hearErrors(conn)
	link := &capped{Conn: conn, left: maxTalk}
	g := &gosnmp.GoSNMP{
		Target: target.Addr().Unmap().String(), Port: target.Port(), Transport: "udp", Version: gosnmp.Version2c, Community: s.community,
		Timeout: time.Hour, Context: ctx, MaxOids: 1, // the run ends by ctx
	}
	if s.user != nil {
		g.Version, g.SecurityModel, g.MsgFlags, g.SecurityParameters = gosnmp.Version3, gosnmp.UserSecurityModel, s.level, s.user.Copy() // it keeps the agent's clock in it
	}
	// The library can only be readied by a socket of its own, which sends nothing.
	if err := g.Connect(); err != nil {
		_ = conn.Close()
		return a.local(err)
	}
	_ = g.Conn.Close()
	g.Conn = link
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	packet, err := g.Get([]string{s.oid})
	if err != nil {
		return s.failed(ctx, a, link, err)
	}
	return s.judge(a, packet)
}

// failed is the result of a question that was not answered.
func (s *snmpCheck) failed(ctx context.Context, a attempt, link *capped, err error) checkers.Result {
	switch {
	case ctx.Err() != nil:
		return a.broken(ctx, err, checkers.ClassUnreachable, "no answer (nor does an agent answer to a wrong community)")
	case link.err != nil:
		return a.broken(ctx, link.err, checkers.ClassUnreachable, "no answer")
	case s.user != nil: // the library has many errors for it, and not for every agent the right one
		return a.fail(checkers.ClassStatus, "the agent does not take the login as %s: %v", s.user.UserName, err)
	}
	return a.fail(checkers.ClassProtocol, "%v", err)
}

func (s *snmpCheck) judge(a attempt, packet *gosnmp.SnmpPacket) checkers.Result {
	if packet.Error != gosnmp.NoError || len(packet.Variables) != 1 {
		return a.fail(checkers.ClassStatus, "the agent says %s", packet.Error)
	}
	v := packet.Variables[0]
	if slices.Contains([]gosnmp.Asn1BER{gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView, gosnmp.Null}, v.Type) {
		return a.fail(checkers.ClassContent, "the agent has no object %s", s.oid)
	}
	value := fmt.Sprint(v.Value)
	if text, ok := v.Value.([]byte); ok {
		value = string(text)
	}
	a.step("%s is %q", s.oid, value)
	if s.expect != "" && value != s.expect {
		return a.fail(checkers.ClassContent, "%q, wanted %q", checkers.Clip(value, 80), s.expect)
	}
	r := a.pass("%s", checkers.Clip(value, 80))
	if s.linear == nil {
		return r
	}
	number, ok := new(big.Float).SetString(strings.TrimSpace(value))
	if !ok {
		return a.fail(checkers.ClassContent, "%q is no number, from which a weight could follow", checkers.Clip(value, 80))
	}
	at, _ := number.Float64()
	if r.Percent = s.linear.percent(at); r.Percent == 0 {
		r.Hint = checkers.HintDrain
	}
	return r
}

// percent is the share that a value stands for, 0 to 100.
func (l linear) percent(value float64) int {
	return int(math.Round(100 * min(1, max(0, (value-l.zero)/(l.full-l.zero)))))
}
