// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net/netip"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// lineCheck is a check of a protocol of lines that greets first and may go over
// to TLS and log in: SMTP, LMTP, IMAP, POP3, FTP, NNTP.
type lineCheck struct {
	talker         // which is in TLS from the start where implicit
	name   string  // smtp
	later  *secure // what the check goes over to after the greeting; nil: it stays
	user   string
	secret string
	// speak has the conversation, and says how it went; what it could not do is
	// an error.
	speak func(l *lineCheck, t *dialog) (string, error)
}

// lineOptions describes the options of such checks, in the clear or inside TLS.
func lineOptions(starttls bool) []Option {
	all := append(loginOptions(), secureOptions()...)
	if starttls {
		all = append(all, Option{Name: "starttls", Form: FormFlag, Default: "false", Doc: "Whether to go over to TLS before anything else. Without it a password goes in the clear."})
	}
	return all
}

// readLines reads them.
func readLines(env Env, o *options, name string, starttls bool, speak func(*lineCheck, *dialog) (string, error)) *lineCheck {
	l := &lineCheck{talker: talker{dial: env.Dialer.Dial}, name: name, speak: speak}
	l.user, l.secret = o.login()
	for _, text := range []string{l.user, l.secret} {
		if strings.ContainsAny(text, "\r\n\x00") {
			o.reject([]string{"user"}, "holds a line's end")
		}
	}
	if l.user != "" && l.secret == "" {
		o.reject([]string{"password_file"}, "is missing: user needs it")
	}
	switch {
	case !starttls:
		l.talker.secure = readSecure(o, "")
	case o.flag("starttls", false):
		l.later = readSecure(o, "")
	default:
		insecure(o, "set starttls: true")
	}
	return l
}

// Check implements Checker.
func (l *lineCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, l.name+" "+target.String())
	return l.with(ctx, a, target, func(t *dialog) checkers.Result {
		said, err := l.speak(l, t)
		if err != nil {
			return t.lost(err, "no answer")
		}
		result := t.pass("%s", said)
		if l.later != nil {
			return l.later.watch(result, t.inside.ConnectionState())
		}
		return result
	})
}

// ask sends a line.
func (t *dialog) ask(line string) error { return t.send([]byte(line + "\r\n")) }

// reply reads a reply of a code of three digits and lines (RFC 5321 section
// 4.2, RFC 959 section 4.2), all but the last of which have a dash after the code;
// and the text of these lines.
func (t *dialog) reply() (code string, lines []string, err error) {
	const most = 1000
	for range most {
		line, err := t.line()
		if err != nil {
			return "", nil, err
		}
		if code == "" {
			if len(line) < 3 || strings.Trim(line[:3], "0123456789") != "" {
				return "", nil, found(checkers.ClassProtocol, "%q is no reply: it begins with no code of three digits", checkers.Clip(line, 60))
			}
			code = line[:3]
		}
		ends := strings.HasPrefix(line, code) && !strings.HasPrefix(line, code+"-")
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, code), "-"), " "))
		if ends {
			t.step("%s %s", code, lines[len(lines)-1])
			return code, lines, nil
		}
	}
	return "", nil, found(checkers.ClassProtocol, "a reply of more than %d lines", most)
}

// command sends a line, and wants a reply whose code begins so. What goes in
// messages is shown, as lines may hold passwords.
func (t *dialog) command(line, shown, want string) ([]string, error) {
	if line != "" {
		if err := t.ask(line); err != nil {
			return nil, err
		}
	}
	code, lines, err := t.reply()
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(code, want) {
		return nil, found(checkers.ClassStatus, "%s: %s %s", shown, code, checkers.Clip(lines[len(lines)-1], 100))
	}
	return lines, nil
}

// goOver makes the conversation one in TLS. What the server sent before that
// does not count: it may come from somebody on the way (RFC 3207 section 4.2).
func (l *lineCheck) goOver(t *dialog) error {
	if t.r.Buffered() > 0 {
		return found(checkers.ClassProtocol, "the server goes on in the clear after it agreed to TLS")
	}
	return t.encrypt(l.later)
}
