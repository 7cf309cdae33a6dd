// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// passwordFile is a file with that password.
func passwordFile(t *testing.T, password string) string {
	return writeFile(t, "password", password+"\n")
}

// TestLinesSick runs each check of a protocol of lines against sick servers.
func TestLinesSick(t *testing.T) {
	for _, kind := range []string{"ftp", "imap", "imaps", "lmtp", "nntp", "pop3", "pop3s", "smtp", "smtps"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			gone := freePort(t)
			if r := checkFor(t, 10*time.Second, must(t, kind, nil), gone); r.Class != checkers.ClassRefused {
				t.Errorf("refuses: %+v", r)
			}
			want := checkers.ClassProtocol
			if strings.HasSuffix(kind, "s") {
				want = checkers.ClassTLS
			}
			for name, handle := range map[string]func(net.Conn){
				"closes early": func(net.Conn) {},
				"floods":       func(conn net.Conn) { flood(conn, 'x') },
			} {
				if r := checkFor(t, 10*time.Second, must(t, kind, nil), serve(t, handle)); r.Outcome != checkers.OutcomeFail || r.Class != want {
					t.Errorf("%s: %+v", name, r)
				}
			}
			stalls := serve(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1<<16)); <-t.Context().Done() })
			if r := checkFor(t, 100*time.Millisecond, must(t, kind, nil), stalls); r.Class != checkers.ClassStalled {
				t.Errorf("stalls: %+v", r)
			}
		})
	}
}

// scripted answers each line with the next of the answers, after the first.
func scripted(t *testing.T, answers ...string) netip.AddrPort {
	return serve(t, func(conn net.Conn) {
		buffer := make([]byte, 4096)
		for i, answer := range answers {
			if i > 0 {
				if _, err := conn.Read(buffer); err != nil {
					return
				}
			}
			_, _ = fmt.Fprint(conn, answer)
		}
		_, _ = conn.Read(buffer)
	})
}

// TestLinesLie runs checks against servers that say what they should not.
func TestLinesLie(t *testing.T) {
	login := m{"user": "anna", "password_file": passwordFile(t, "secret")}
	for _, test := range []struct {
		name, kind string
		options    m
		answers    []string
		class      checkers.Class
		message    string
	}{
		{"refuses service", "smtp", nil, []string{"554 no\r\n"}, checkers.ClassStatus, "greeting: 554 no"},
		{"dislikes the hello", "smtp", nil, []string{"220 a\r\n", "502 what\r\n"}, checkers.ClassStatus, "EHLO maitred.invalid: 502 what"},
		{"another code", "smtp", m{"code": 502}, []string{"220 a\r\n", "502 what\r\n"}, checkers.ClassNone, "it greets"},
		{"several lines", "smtp", nil, []string{"220-a\r\n220 b\r\n", "250-a\r\n250 b\r\n"}, checkers.ClassNone, "it greets"},
		{"no STARTTLS", "smtp", m{"starttls": true}, []string{"220 a\r\n", "250 a\r\n"}, checkers.ClassProtocol, "the server offers no STARTTLS"},
		{"goes on in the clear", "smtp", m{"starttls": true, "verify": false}, []string{"220 a\r\n", "250-a\r\n250 STARTTLS\r\n", "220 go\r\n250 AUTH PLAIN\r\n"}, checkers.ClassProtocol, "the server goes on in the clear after it agreed to TLS"},
		{"no AUTH", "smtp", login, []string{"220 a\r\n", "250 a\r\n"}, checkers.ClassProtocol, "the server offers no AUTH PLAIN nor LOGIN: with starttls: true it may"},
		{"AUTH LOGIN", "lmtp", login, []string{"220 a\r\n", "250-a\r\n250 AUTH LOGIN\r\n", "334 a\r\n", "334 b\r\n", "235 ok\r\n"}, checkers.ClassNone, "the login is taken"},
		{"not SMTP", "smtp", nil, []string{"SSH-2.0-x\r\n"}, checkers.ClassProtocol, `"SSH-2.0-x" is no reply: it begins with no code of three digits`},
		{"says bye", "imap", nil, []string{"* BYE too many\r\n"}, checkers.ClassStatus, "greeting: * BYE too many"},
		{"not IMAP", "imap", nil, []string{"220 a\r\n"}, checkers.ClassProtocol, `"220 a" is no greeting of IMAP`},
		{"old IMAP", "imap", nil, []string{"* OK a\r\n", "* CAPABILITY IMAP2\r\na1 OK\r\n"}, checkers.ClassProtocol, "the server does not say that it speaks IMAP4rev1 or rev2"},
		{"no STARTTLS of IMAP", "imap", m{"starttls": true}, []string{"* OK a\r\n", "* CAPABILITY IMAP4rev1\r\na1 OK\r\n"}, checkers.ClassProtocol, "the server offers no STARTTLS"},
		{"not POP3", "pop3", nil, []string{"220 a\r\n"}, checkers.ClassProtocol, `greeting: "220 a" is no answer of POP3`},
		{"POP3 is busy", "pop3", nil, []string{"-ERR busy\r\n"}, checkers.ClassStatus, "greeting: busy"},
		{"FTP is full", "ftp", nil, []string{"421 full\r\n"}, checkers.ClassStatus, "greeting: 421 full"},
		{"FTP without a password", "ftp", login, []string{"220 a\r\n", "230 in\r\n"}, checkers.ClassNone, "the login is taken"},
		{"NNTP", "nntp", nil, []string{"201 no posting\r\n"}, checkers.ClassNone, "it greets"},
		{"NNTP is closed", "nntp", nil, []string{"502 closed\r\n"}, checkers.ClassStatus, "greeting: 502 closed"},
		{"login of NNTP", "nntp", login, []string{"200 a\r\n", "381 more\r\n", "281 in\r\n"}, checkers.ClassNone, "the login is taken"},
		{"wrong login of NNTP", "nntp", login, []string{"200 a\r\n", "381 more\r\n", "481 no\r\n"}, checkers.ClassStatus, "login as anna: 481 no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := scripted(t, test.answers...)
			r := checkFor(t, 10*time.Second, must(t, test.kind, test.options), target)
			wantResult(t, r, test.class, fmt.Sprintf("%s %s: %s", test.kind, target, test.message))
			if strings.Contains(r.Message, "secret") {
				t.Error("the message has the password")
			}
		})
	}
}

// dovecotConf serves one user from a file, in the clear and inside TLS.
const dovecotConf = `
base_dir = {{dir}}/run
state_dir = {{dir}}/run
log_path = {{dir}}/log
protocols = imap pop3
listen = 127.0.0.1
default_internal_user = {{user}}
default_internal_group = {{group}}
default_login_user = {{user}}
mail_location = maildir:{{dir}}/mail/%u
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{{cert}}
ssl_key = <{{key}}
passdb {
  driver = passwd-file
  args = scheme=PLAIN {{dir}}/users
}
userdb {
  driver = static
  args = uid={{uid}} gid={{gid}} home={{dir}}/mail/%u
}
first_valid_uid = 0
service imap-login {
  chroot =
  inet_listener imap { 
    port = {{imap}} 
  }
  inet_listener imaps { 
    port = {{imaps}} 
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 { 
    port = {{pop3}} 
  }
  inet_listener pop3s { 
    port = {{pop3s}} 
  }
}
service anvil {
  chroot =
}
`

// TestDovecot runs imap and pop3 against Dovecot.
func TestDovecot(t *testing.T) {
	program := findProgram(t, "dovecot-imapd", "dovecot")
	findProgram(t, "dovecot-pop3d", "pop3", "/usr/lib/dovecot")
	needRoot(t, "dovecot takes its login processes' rights away, for which it needs root")
	owner, err := user.Lookup("dovecot")
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	ports := map[string]netip.AddrPort{}
	pairs := []string{"{{dir}}", dir, "{{cert}}", id.certFile, "{{key}}", id.keyFile, "{{user}}", "dovecot", "{{group}}", "dovecot", "{{uid}}", owner.Uid, "{{gid}}", owner.Gid}
	for _, kind := range []string{"imap", "imaps", "pop3", "pop3s"} {
		ports[kind] = freePort(t)
		pairs = append(pairs, "{{"+kind+"}}", fmt.Sprint(ports[kind].Port()))
	}
	conf := filepath.Join(dir, "dovecot.conf")
	writeFiles(t, map[string]string{conf: strings.NewReplacer(pairs...).Replace(dovecotConf), filepath.Join(dir, "users"): "anna:secret\n"})
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "mail"), 0o777); err != nil {
		t.Fatal(err)
	}
	runServer(t, exec.Command(program, "-F", "-c", conf), waitFor(ports["imap"], ports["pop3"], ports["imaps"], ports["pop3s"]))
	right := m{"user": "anna", "password_file": passwordFile(t, "secret")}
	wrong := m{"user": "anna", "password_file": passwordFile(t, "guessed")}
	for _, test := range []struct {
		name, kind string
		options    []m
		class      checkers.Class
		message    string
	}{
		{"greeting", "imap", nil, checkers.ClassNone, "it greets"},
		{"login", "imap", []m{right}, checkers.ClassNone, "the login is taken"},
		{"login after STARTTLS", "imap", []m{right, {"starttls": true, "ca_file": id.certFile}}, checkers.ClassNone, "the login is taken"},
		{"STARTTLS of a stranger", "imap", []m{{"starttls": true}}, checkers.ClassTLS, "tls: failed to verify certificate: *"},
		{"wrong login", "imap", []m{wrong}, checkers.ClassStatus, "login as anna: NO *"},
		{"login inside TLS", "imaps", []m{right, {"ca_file": id.certFile}}, checkers.ClassNone, "the login is taken"},
		{"greeting", "pop3", nil, checkers.ClassNone, "it greets"},
		{"login", "pop3", []m{right}, checkers.ClassNone, "the login is taken"},
		{"login after STLS", "pop3", []m{right, {"starttls": true, "verify": false}}, checkers.ClassNone, "the login is taken"},
		{"wrong login", "pop3", []m{wrong}, checkers.ClassStatus, "login as anna: *"},
		{"login inside TLS", "pop3s", []m{right, {"ca_file": id.certFile}}, checkers.ClassNone, "the login is taken"},
	} {
		t.Run(test.kind+" "+test.name, func(t *testing.T) {
			t.Parallel()
			mailTest(t, test.kind, ports[test.kind], test.options, test.class, test.message)
		})
	}
}

// waitFor tells whether all these accept connections.
func waitFor(targets ...netip.AddrPort) func() error {
	return func() error {
		for _, target := range targets {
			if err := answers(target)(); err != nil {
				return err
			}
		}
		return nil
	}
}

func mailTest(t *testing.T, kind string, target netip.AddrPort, options []m, class checkers.Class, message string) {
	t.Helper()
	all := m{}
	for _, some := range options {
		for key, value := range some {
			all[key] = value
		}
	}
	outcome := checkers.OutcomePass
	if class != checkers.ClassNone {
		outcome = checkers.OutcomeFail
	}
	got := checkFor(t, 15*time.Second, must(t, kind, all), target)
	wantAnswer(t, got, outcome, class, fmt.Sprintf("%s %s: %s", kind, target, message))
}
