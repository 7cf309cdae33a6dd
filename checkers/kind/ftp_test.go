// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// vsftpdConf lets anonymous in who gives a password of the list.
const vsftpdConf = `
listen=YES
listen_address=127.0.0.1
listen_port={{port}}
background=NO
seccomp_sandbox=NO
secure_chroot_dir={{dir}}/empty
xferlog_enable=NO
ftpd_banner=shop
local_enable=NO
anonymous_enable=YES
anon_root={{dir}}/files
secure_email_list_enable=YES
email_password_file={{dir}}/passwords
ssl_enable={{ssl}}
allow_anon_ssl=YES
force_anon_logins_ssl={{force}}
ssl_ciphers=HIGH
rsa_cert_file={{cert}}
rsa_private_key_file={{key}}
`

// TestVSFTPD runs ftp against vsftpd: one that speaks TLS where asked, one that
// does not, and one that takes logins inside TLS alone.
func TestVSFTPD(t *testing.T) {
	program := findProgram(t, "vsftpd", "vsftpd")
	needRoot(t, "vsftpd drops its rights, for which it needs root")
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	dir := openDir(t)
	for _, sub := range []string{"empty", "files"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, map[string]string{filepath.Join(dir, "passwords"): "secret\n"})
	both, clear, inside := freePort(t), freePort(t), freePort(t)
	for i, server := range []struct {
		target     netip.AddrPort
		ssl, force string
	}{{both, "YES", "NO"}, {clear, "NO", "NO"}, {inside, "YES", "YES"}} {
		conf := filepath.Join(dir, fmt.Sprintf("vsftpd.%d.conf", i))
		writeFiles(t, map[string]string{conf: strings.NewReplacer(
			"{{dir}}", dir, "{{port}}", fmt.Sprint(server.target.Port()), "{{ssl}}", server.ssl, "{{force}}", server.force, "{{cert}}", id.certFile, "{{key}}", id.keyFile,
		).Replace(vsftpdConf)})
		runServer(t, exec.Command(program, conf), answers(server.target))
	}
	right := m{"user": "anonymous", "password_file": passwordFile(t, "secret")}
	wrong := m{"user": "anonymous", "password_file": passwordFile(t, "guessed")}
	stranger := m{"user": "bert"}
	later := m{"starttls": true}
	known := m{"ca_file": id.certFile}
	for _, test := range []struct {
		name    string
		target  netip.AddrPort
		options []m
		class   checkers.Class
		message string
	}{
		{"greeting", both, nil, checkers.ClassNone, "it greets"},
		{"login", both, []m{right}, checkers.ClassNone, "the login is taken"},
		{"wrong password", both, []m{wrong}, checkers.ClassStatus, "login as anonymous: 530 Login incorrect."},
		{"wrong user", both, []m{right, stranger}, checkers.ClassStatus, "login as bert: 530 This FTP server is anonymous only."},
		{"AUTH TLS", both, []m{later, known}, checkers.ClassNone, "it greets"},
		{"AUTH TLS of a stranger", both, []m{later}, checkers.ClassTLS, "tls: failed to verify certificate: *"},
		{"login after AUTH TLS", both, []m{right, later, known}, checkers.ClassNone, "the login is taken"},
		{"wrong password after AUTH TLS", both, []m{wrong, later, known}, checkers.ClassStatus, "login as anonymous: 530 Login incorrect."},
		{"no AUTH TLS", clear, []m{later, known}, checkers.ClassStatus, "AUTH TLS: 530 *"},
		{"login in the clear where none is taken", inside, []m{right}, checkers.ClassStatus, "login as anonymous: 530 *"},
		{"login inside TLS where it has to be", inside, []m{right, later, known}, checkers.ClassNone, "the login is taken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			mailTest(t, "ftp", test.target, test.options, test.class, test.message)
		})
	}
}
