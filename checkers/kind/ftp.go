// SPDX-License-Identifier: Apache-2.0

package kind

import "github.com/maitred-lb/maitred/checkers"

func newFTP(env Env, o *options) checkers.Checker {
	return readLines(env, o, "ftp", true, (*lineCheck).ftp)
}

// ftp has a conversation in FTP (RFC 959, TLS: RFC 4217) on the connection for
// commands; none for data is opened.
func (l *lineCheck) ftp(t *dialog) (string, error) {
	if _, err := t.command("", "greeting", "220"); err != nil {
		return "", err
	}
	if l.later != nil {
		if _, err := t.command("AUTH TLS", "AUTH TLS", "234"); err != nil {
			return "", err
		}
		if err := l.goOver(t); err != nil {
			return "", err
		}
	}
	said := "it greets"
	if l.user != "" {
		if err := l.ftpLogin(t); err != nil {
			return "", err
		}
		said = "the login is taken"
	}
	_ = t.ask("QUIT") // the verdict stands already
	return said, nil
}

// ftpLogin logs in; a server may want no password.
func (l *lineCheck) ftpLogin(t *dialog) error {
	if err := t.ask("USER " + l.user); err != nil {
		return err
	}
	code, lines, err := t.reply()
	switch {
	case err != nil:
		return err
	case code == "230":
		return nil
	case code != "331":
		return found(checkers.ClassStatus, "login as %s: %s %s", l.user, code, checkers.Clip(lines[len(lines)-1], 100))
	}
	_, err = t.command("PASS "+l.secret, "login as "+l.user, "230")
	return err
}

func newNNTP(env Env, o *options) checkers.Checker {
	return readLines(env, o, "nntp", true, (*lineCheck).nntp)
}

// nntp has a conversation in NNTP (RFC 3977, TLS: RFC 4642, login: RFC 4643). A
// greeting of 200 or 201 means that the service is there.
func (l *lineCheck) nntp(t *dialog) (string, error) {
	if _, err := t.command("", "greeting", "20"); err != nil {
		return "", err
	}
	if l.later != nil {
		if _, err := t.command("STARTTLS", "STARTTLS", "382"); err != nil {
			return "", err
		}
		if err := l.goOver(t); err != nil {
			return "", err
		}
	}
	said := "it greets"
	if l.user != "" {
		for _, step := range [][2]string{{"AUTHINFO USER " + l.user, "381"}, {"AUTHINFO PASS " + l.secret, "281"}} {
			if _, err := t.command(step[0], "login as "+l.user, step[1]); err != nil {
				return "", err
			}
		}
		said = "the login is taken"
	}
	_ = t.ask("QUIT") // the verdict stands already
	return said, nil
}
