// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// smtpOptions describes the options of smtp (RFC 5321) and lmtp (RFC 2033), and of
// smtps, which is inside TLS from the start (RFC 8314).
func smtpOptions(starttls bool) []Option {
	return append(lineOptions(starttls),
		Option{Name: "hello", Form: FormText, Default: "maitred.invalid", Doc: "The name that the director gives itself."},
		Option{Name: "code", Form: FormNumber, Default: "250", Doc: "The code with which the server has to answer to that."})
}

func newSMTP(env Env, o *options) checkers.Checker  { return readSMTP(env, o, "smtp", "EHLO ") }
func newSMTPS(env Env, o *options) checkers.Checker { return readSMTP(env, o, "smtps", "EHLO ") }
func newLMTP(env Env, o *options) checkers.Checker  { return readSMTP(env, o, "lmtp", "LHLO ") }

func readSMTP(env Env, o *options, name, verb string) checkers.Checker {
	hello := o.text("hello", "maitred.invalid")
	if strings.ContainsAny(hello, " \r\n") {
		o.reject([]string{"hello"}, "%q is not the name of a host", hello)
	}
	code := strconv.Itoa(o.number("code", 250, 200, 599))
	return readLines(env, o, name, name != "smtps", func(l *lineCheck, t *dialog) (string, error) {
		return l.smtp(t, verb+hello, code)
	})
}

// smtp has the conversation.
func (l *lineCheck) smtp(t *dialog, hello, code string) (string, error) {
	if _, err := t.command("", "greeting", "220"); err != nil {
		return "", err
	}
	offers, err := t.command(hello, hello, code)
	if err != nil {
		return "", err
	}
	if l.later != nil {
		if !offered(offers, "STARTTLS") {
			return "", found(checkers.ClassProtocol, "the server offers no STARTTLS")
		}
		if _, err := t.command("STARTTLS", "STARTTLS", "220"); err != nil {
			return "", err
		}
		if err := l.goOver(t); err != nil {
			return "", err
		}
		if offers, err = t.command(hello, hello, code); err != nil {
			return "", err
		}
	}
	said := "it greets"
	if l.user != "" {
		if err := l.authenticate(t, offers); err != nil {
			return "", err
		}
		said = "the login is taken"
	}
	_ = t.ask("QUIT") // the verdict stands already
	return said, nil
}

// authenticate logs in by AUTH PLAIN (RFC 4954, RFC 4616), or by LOGIN where that
// alone is offered.
func (l *lineCheck) authenticate(t *dialog, offers []string) error {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	switch {
	case offered(offers, "AUTH", "PLAIN"):
		_, err := t.command("AUTH PLAIN "+encode("\x00"+l.user+"\x00"+l.secret), "login as "+l.user, "235")
		return err
	case offered(offers, "AUTH", "LOGIN"):
		for _, step := range [][2]string{{"AUTH LOGIN", "334"}, {encode(l.user), "334"}, {encode(l.secret), "235"}} {
			if _, err := t.command(step[0], "login as "+l.user, step[1]); err != nil {
				return err
			}
		}
		return nil
	}
	return found(checkers.ClassProtocol, "the server offers no AUTH PLAIN nor LOGIN: with starttls: true it may")
}

// offered tells whether a line of a reply begins with a word, and holds the
// others.
func offered(lines []string, words ...string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		fields := strings.Fields(strings.ToUpper(line))
		if len(fields) == 0 || fields[0] != words[0] {
			return false
		}
		for _, word := range words[1:] {
			if !slices.Contains(fields, word) {
				return false
			}
		}
		return true
	})
}
