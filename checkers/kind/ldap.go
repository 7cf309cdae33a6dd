// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/maitred-lb/maitred/checkers"
)

// ldapCheck passes when a directory takes the bind, simple or anonymous, and
// finds an entry (RFC 4511).
type ldapCheck struct {
	talker
	startTLS       *secure // nil: TLS from the start, or none
	user, password string
	base, filter   string
	scope          int
}

func ldapOptions() []Option {
	all := []Option{
		{Name: "user", Form: FormText, Doc: "The name (DN) to bind as; without one the bind is anonymous."},
		{Name: "password_file", Form: FormFile, Doc: "A file with the user's password on its first line."},
		{Name: "base", Form: FormText, Doc: "Where to search; without it at the root of the directory's own information (RFC 4512 section 5.1)."},
		{Name: "scope", Form: FormText, Default: "base", Values: []string{"base", "one", "sub"}, Doc: "What to search: the base itself, the entries below it, or all of its tree."},
		{Name: "filter", Form: FormText, Default: "(objectClass=*)", Doc: "What an entry must be like (RFC 4515). One has to be found."},
		{Name: "starttls", Form: FormFlag, Default: "false", Doc: "Whether to begin TLS inside the protocol; tls: true begins it at once, as ldaps does."},
	}
	return append(all, inTLS()...)
}

func newLDAP(env Env, o *options) checkers.Checker {
	c := &ldapCheck{
		talker: talker{dial: env.Dialer.Dial},
		base:   o.text("base", ""),
		filter: o.text("filter", "(objectClass=*)"),
		scope:  map[string]int{"base": ldap.ScopeBaseObject, "one": ldap.ScopeSingleLevel, "sub": ldap.ScopeWholeSubtree}[o.choice("scope", "base", "base", "one", "sub")],
	}
	c.user, c.password = o.login()
	if c.user != "" && c.password == "" { // RFC 4513 section 5.1.2: to servers that is anonymous, and passes
		o.reject([]string{"user"}, "needs a password: give password_file, or remove this one")
	}
	if _, err := ldap.CompileFilter(c.filter); err != nil {
		o.reject([]string{"filter"}, "%q is no filter: %v", c.filter, err)
	}
	if c.base == "" && c.scope != ldap.ScopeBaseObject {
		o.reject([]string{"scope"}, "needs a base: give it, or remove this one")
	}
	if !o.flag("starttls", false) {
		c.secure = readTLSFlag(o, "")
		return c
	}
	if o.flag("tls", false) {
		o.reject([]string{"starttls"}, "is one way to TLS and tls another: remove one of the two")
	}
	c.startTLS = readSecure(o, "")
	return c
}

// Check implements Checker.
func (c *ldapCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return c.with(ctx, newAttempt(ctx, "ldap "+target.String()), target, func(t *dialog) checkers.Result {
		return sturdy(t.attempt, "LDAP", func() checkers.Result { return c.judge(t) })
	})
}

func (c *ldapCheck) judge(t *dialog) checkers.Result {
	t.ldapCap()
	if c.startTLS != nil {
		if err := t.ldapTLS(c.startTLS); err != nil {
			return t.lost(err, "no answer to StartTLS")
		}
		t.ldapCap()
	}
	conn := ldap.NewConn(t.link, true) // true: it need not know how to begin TLS
	conn.Start()
	defer func() { _ = conn.Close() }() // and waits for its goroutines
	return c.startTLS.watchIf(t, c.search(t, conn))
}

// ldapMax is what a directory may say before TLS, and once more inside it, in
// bytes. The library keeps the content of every element, those that hold others
// included: nested ones take as much memory as the square of this.
const ldapMax = 16 << 10

// ldapCap makes the connection that is spoken on bear no more than that.
func (t *dialog) ldapCap() {
	t.link = &capped{Conn: t.conn, left: ldapMax, most: ldapMax}
}

// search binds and searches.
func (c *ldapCheck) search(t *dialog, conn *ldap.Conn) checkers.Result {
	who := "anonymous"
	if c.user != "" {
		if err := conn.Bind(c.user, c.password); err != nil {
			return t.ldapLost(err, "bind")
		}
		who = "bound"
		t.step("bound as %s", c.user)
	}
	const enough, none = 1, "1.1" // no attributes (RFC 4511 section 4.5.1.8)
	answer, err := conn.Search(ldap.NewSearchRequest(c.base, c.scope, ldap.NeverDerefAliases, enough, 0, false, c.filter, []string{none}, nil))
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) && answer != nil && len(answer.Entries) > 0 {
		err = nil // one is enough
	}
	if err != nil {
		return t.ldapLost(err, "search")
	}
	if len(answer.Entries) == 0 {
		return t.fail(checkers.ClassContent, "the search finds no entry")
	}
	t.step("found %q", answer.Entries[0].DN)
	_ = conn.Unbind() // the verdict stands
	return t.pass("%s, an entry found", who)
}

// ldapTLS asks for TLS (RFC 4511 section 4.14).
func (t *dialog) ldapTLS(s *secure) error {
	const (
		request  = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
		extended = 24 // the tag of an ExtendedResponse
	)
	if err := t.send([]byte(request)); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(t.link)
	if err != nil {
		return t.link.cause(err)
	}
	if len(answer.Children) < 2 || answer.Children[1].Tag != extended {
		return found(checkers.ClassProtocol, "the server does not speak LDAP")
	}
	if err := ldap.GetLDAPError(answer); err != nil {
		return found(checkers.ClassTLS, "the server refuses StartTLS: %v", ldapReason(err))
	}
	return t.encrypt(s)
}

// ldapLost is the result of a run that an error ended.
func (t *dialog) ldapLost(err error, what string) checkers.Result {
	var refused *ldap.Error
	switch {
	case !errors.As(err, &refused):
		return t.lost(t.link.cause(err), "no answer to the "+what)
	case refused.ResultCode >= ldap.ErrorNetwork: // the library's own numbers
		return t.lost(t.link.cause(refused.Err), "no answer to the "+what)
	}
	return t.fail(checkers.ClassStatus, "%s: %s", what, ldapReason(err))
}

// ldapReason is a directory's word for what is wrong.
func ldapReason(err error) string {
	var refused *ldap.Error
	if !errors.As(err, &refused) {
		return err.Error()
	}
	text := fmt.Sprintf("%s (%d)", ldap.LDAPResultCodeMap[refused.ResultCode], refused.ResultCode)
	if refused.Err != nil && refused.Err.Error() != "" {
		text += ": " + refused.Err.Error()
	}
	return text
}
