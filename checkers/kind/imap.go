// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

func newIMAP(env Env, o *options) checkers.Checker {
	return readLines(env, o, "imap", true, (*lineCheck).imap)
}

func newIMAPS(env Env, o *options) checkers.Checker {
	return readLines(env, o, "imaps", false, (*lineCheck).imap)
}

// imap has a conversation in IMAP (RFC 9051): greeting, capabilities, and what
// more is asked for.
func (l *lineCheck) imap(t *dialog) (string, error) {
	greeting, err := t.line()
	if err != nil {
		return "", err
	}
	t.step("%s", greeting)
	switch word, _, _ := strings.Cut(strings.TrimPrefix(greeting, "* "), " "); {
	case !strings.HasPrefix(greeting, "* "):
		return "", found(checkers.ClassProtocol, "%q is no greeting of IMAP", checkers.Clip(greeting, 60))
	case word == "BYE":
		return "", found(checkers.ClassStatus, "greeting: %s", checkers.Clip(greeting, 100))
	case word != "OK" && word != "PREAUTH":
		return "", found(checkers.ClassProtocol, "%q is no greeting of IMAP", checkers.Clip(greeting, 60))
	}
	offers, err := t.imapCommand("a1", "CAPABILITY", "CAPABILITY")
	if err != nil {
		return "", err
	}
	if !offered(offers, "CAPABILITY", "IMAP4REV1") && !offered(offers, "CAPABILITY", "IMAP4REV2") {
		return "", found(checkers.ClassProtocol, "the server does not say that it speaks IMAP4rev1 or rev2")
	}
	if l.later != nil {
		if !offered(offers, "CAPABILITY", "STARTTLS") {
			return "", found(checkers.ClassProtocol, "the server offers no STARTTLS")
		}
		if _, err := t.imapCommand("a2", "STARTTLS", "STARTTLS"); err != nil {
			return "", err
		}
		if err := l.goOver(t); err != nil {
			return "", err
		}
	}
	said := "it greets"
	if l.user != "" {
		if _, err := t.imapCommand("a3", "LOGIN "+imapQuoted(l.user)+" "+imapQuoted(l.secret), "login as "+l.user); err != nil {
			return "", err
		}
		said = "the login is taken"
	}
	_ = t.ask("a4 LOGOUT") // the verdict stands already
	return said, nil
}

// imapQuoted is a text as a quoted string.
func imapQuoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// imapCommand sends a command, and returns the untagged lines before its end.
func (t *dialog) imapCommand(tag, command, shown string) ([]string, error) {
	const most = 1000
	if err := t.ask(tag + " " + command); err != nil {
		return nil, err
	}
	var lines []string
	for range most {
		line, err := t.line()
		if err != nil {
			return nil, err
		}
		if untagged, ok := strings.CutPrefix(line, "* "); ok {
			lines = append(lines, untagged)
			continue
		}
		rest, ok := strings.CutPrefix(line, tag+" ")
		if !ok {
			return nil, found(checkers.ClassProtocol, "%s: %q is no answer of IMAP", shown, checkers.Clip(line, 60))
		}
		t.step("%s: %s", shown, rest)
		if word, _, _ := strings.Cut(rest, " "); word != "OK" {
			return nil, found(checkers.ClassStatus, "%s: %s", shown, checkers.Clip(rest, 100))
		}
		return lines, nil
	}
	return nil, found(checkers.ClassProtocol, "%s: more than %d lines", shown, most)
}

func newPOP3(env Env, o *options) checkers.Checker {
	return readLines(env, o, "pop3", true, (*lineCheck).pop3)
}

func newPOP3S(env Env, o *options) checkers.Checker {
	return readLines(env, o, "pop3s", false, (*lineCheck).pop3)
}

// pop3 has a conversation in POP3 (RFC 1939, STLS: RFC 2595).
func (l *lineCheck) pop3(t *dialog) (string, error) {
	commands := []struct{ line, shown string }{{"", "greeting"}}
	if l.later != nil {
		commands = append(commands, struct{ line, shown string }{"STLS", "STLS"})
	}
	if l.user != "" {
		commands = append(commands, struct{ line, shown string }{"USER " + l.user, "login as " + l.user}, struct{ line, shown string }{"PASS " + l.secret, "login as " + l.user})
	}
	for _, c := range commands {
		if err := t.pop3Command(c.line, c.shown); err != nil {
			return "", err
		}
		if c.line == "STLS" {
			if err := l.goOver(t); err != nil {
				return "", err
			}
		}
	}
	_ = t.ask("QUIT") // the verdict stands already
	if l.user != "" {
		return "the login is taken", nil
	}
	return "it greets", nil
}

func (t *dialog) pop3Command(line, shown string) error {
	if line != "" {
		if err := t.ask(line); err != nil {
			return err
		}
	}
	answer, err := t.line()
	if err != nil {
		return err
	}
	t.step("%s: %s", shown, answer)
	switch word, rest, _ := strings.Cut(answer, " "); word {
	case "+OK":
		return nil
	case "-ERR":
		return found(checkers.ClassStatus, "%s: %s", shown, checkers.Clip(rest, 100))
	}
	return found(checkers.ClassProtocol, "%s: %q is no answer of POP3", shown, checkers.Clip(answer, 60))
}
