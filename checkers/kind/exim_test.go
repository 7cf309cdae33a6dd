// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// eximConf offers logins inside TLS alone: by PLAIN after STARTTLS, by LOGIN where
// TLS is there from the start. Nobody can send mail through it.
const eximConf = `
primary_hostname = shop
spool_directory = {{dir}}
log_file_path = {{dir}}/%slog
pid_file_path = {{dir}}/pid
keep_environment =
host_lookup =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {{plain}} : {{secure}}
tls_on_connect_ports = {{secure}}
tls_advertise_hosts = *
tls_certificate = {{dir}}/cert.pem
tls_privatekey = {{dir}}/key.pem
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}

begin authenticators

plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = ${if eq{$received_port}{{{plain}}}}
  server_condition = ${if and{{eq{$auth2}{anna}}{eq{$auth3}{secret}}}}

login:
  driver = plaintext
  public_name = LOGIN
  server_advertise_condition = ${if eq{$received_port}{{{secure}}}}
  server_prompts = User : Password
  server_condition = ${if and{{eq{$auth1}{anna}}{eq{$auth2}{secret}}}}
`

// TestExim runs smtp, smtps and lmtp against Exim.
func TestExim(t *testing.T) {
	program := findProgram(t, "exim4-daemon-light", "exim4")
	needRoot(t, "exim4 drops its rights, for which it needs root")
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	dir := openDir(t)
	plain, secure := freePort(t), freePort(t)
	conf := filepath.Join(dir, "exim.conf")
	writeFiles(t, map[string]string{
		conf: strings.NewReplacer("{{dir}}", dir, "{{plain}}", fmt.Sprint(plain.Port()), "{{secure}}", fmt.Sprint(secure.Port())).Replace(eximConf),
	})
	handOver(t, "Debian-exim", dir, id)
	runServer(t, exec.Command(program, "-C", conf, "-bdf"), waitFor(plain, secure))

	right := m{"user": "anna", "password_file": passwordFile(t, "secret")}
	wrong := m{"user": "anna", "password_file": passwordFile(t, "guessed")}
	stranger := m{"user": "bert"}
	later := m{"starttls": true}
	known := m{"ca_file": id.certFile}
	for _, test := range []struct {
		name, kind string
		target     netip.AddrPort
		options    []m
		class      checkers.Class
		message    string
	}{
		{"greeting", "smtp", plain, nil, checkers.ClassNone, "it greets"},
		{"STARTTLS", "smtp", plain, []m{later, known}, checkers.ClassNone, "it greets"},
		{"STARTTLS of a stranger", "smtp", plain, []m{later}, checkers.ClassTLS, "tls: failed to verify certificate: *"},
		{"STARTTLS of another name", "smtp", plain, []m{later, known, {"sni": "shed"}}, checkers.ClassTLS, "tls: failed to verify certificate: *shed*"},
		{"login", "smtp", plain, []m{right, later, known}, checkers.ClassNone, "the login is taken"},
		{"wrong password", "smtp", plain, []m{wrong, later, known}, checkers.ClassStatus, "login as anna: 535 *"},
		{"wrong user", "smtp", plain, []m{right, stranger, later, known}, checkers.ClassStatus, "login as bert: 535 *"},
		{"login in the clear", "smtp", plain, []m{right}, checkers.ClassProtocol, "the server offers no AUTH PLAIN nor LOGIN: with starttls: true it may"},
		{"greeting", "smtps", secure, []m{known}, checkers.ClassNone, "it greets"},
		{"stranger", "smtps", secure, nil, checkers.ClassTLS, "tls: failed to verify certificate: *"},
		{"login", "smtps", secure, []m{right, known}, checkers.ClassNone, "the login is taken"},
		{"wrong password", "smtps", secure, []m{wrong, known}, checkers.ClassStatus, "login as anna: 535 *"},
		{"no TLS there", "smtps", plain, []m{known}, checkers.ClassTLS, "the server does not speak TLS on this port"},
		{"not LMTP", "lmtp", plain, nil, checkers.ClassStatus, "LHLO maitred.invalid: 500 *"},
	} {
		t.Run(test.kind+" "+test.name, func(t *testing.T) {
			t.Parallel()
			mailTest(t, test.kind, test.target, test.options, test.class, test.message)
		})
	}
}

// openDir is a directory with a short path, for unix sockets, that servers can
// enter after they dropped their rights.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kind")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeFiles writes files that all may read.
func writeFiles(t *testing.T, files map[string]string) {
	t.Helper()
	for file, text := range files {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// handOver puts an identity in a directory, and gives that and the key to a user.
func handOver(t *testing.T, name, dir string, id identity) {
	t.Helper()
	owner, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, errUser := strconv.Atoi(owner.Uid)
	gid, errGroup := strconv.Atoi(owner.Gid)
	if errUser != nil || errGroup != nil {
		t.Fatal(errUser, errGroup)
	}
	for from, to := range map[string]string{id.certFile: "cert.pem", id.keyFile: "key.pem"} {
		to = filepath.Join(dir, to)
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(to, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
}
