// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// slapdConf is a directory that lets strangers see its root alone.
const slapdConf = `
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {{dir}}/pid
TLSCertificateFile {{cert}}
TLSCertificateKeyFile {{key}}
access to dn.base="" by * read
access to attrs=userPassword by anonymous auth
access to * by users read by * none
database mdb
suffix "dc=shop,dc=example"
rootdn "cn=probe,dc=shop,dc=example"
rootpw right
directory {{dir}}/db
maxsize 10485760
`

const slapdData = `dn: dc=shop,dc=example
objectClass: dcObject
objectClass: organization
dc: shop
o: shop

dn: ou=people,dc=shop,dc=example
objectClass: organizationalUnit
ou: people

dn: ou=things,dc=shop,dc=example
objectClass: organizationalUnit
ou: things
`

// TestSlapd checks an OpenLDAP server in clear, with StartTLS and with ldaps.
func TestSlapd(t *testing.T) {
	slapd, slapadd := findProgram(t, "slapd", "slapd"), findProgram(t, "slapd", "slapadd")
	id := newIdentity(t, time.Now().Add(time.Hour), "dir.example")
	dir, plain, secure := t.TempDir(), freePort(t), freePort(t)
	conf := writeFile(t, "slapd.conf", strings.NewReplacer("{{dir}}", dir, "{{cert}}", id.certFile, "{{key}}", id.keyFile).Replace(slapdConf))
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	runTool(t, exec.Command(slapadd, "-q", "-f", conf, "-l", writeFile(t, "data.ldif", slapdData)))
	runServer(t, exec.Command(slapd, "-d", "0", "-f", conf, "-h", fmt.Sprintf("ldap://%s/ ldaps://%s/", plain, secure)), answers(secure))

	right, wrong := writeFile(t, "right", "right\n"), writeFile(t, "wrong", "wrong\n")
	with := func(more m) m {
		all := m{"user": "cn=probe,dc=shop,dc=example", "password_file": right}
		for key, value := range more {
			all[key] = value
		}
		return all
	}
	for _, test := range []serverTest{
		{"anonymous", nil, pass, none, "anonymous, an entry found"},
		{"bind", with(nil), pass, none, "bound, an entry found"},
		{"wrong password", with(m{"password_file": wrong}), failed, checkers.ClassStatus, "bind: Invalid Credentials (49)"},
		{"entry", with(m{"base": "ou=people,dc=shop,dc=example"}), pass, none, "bound, an entry found"},
		{"one of several", with(m{"base": "dc=shop,dc=example", "scope": "sub"}), pass, none, "bound, an entry found"},
		{"filter", with(m{"base": "dc=shop,dc=example", "scope": "one", "filter": "(ou=things)"}), pass, none, "bound, an entry found"},
		{"no such entry", with(m{"base": "ou=animals,dc=shop,dc=example"}), failed, checkers.ClassStatus, "search: No Such Object (32)*"},
		{"nothing found", with(m{"base": "dc=shop,dc=example", "scope": "sub", "filter": "(ou=animals)"}), failed, checkers.ClassContent, "the search finds no entry"},
		{"not for strangers", m{"base": "dc=shop,dc=example"}, failed, checkers.ClassStatus, "search: No Such Object (32)*"},
		{"StartTLS", with(m{"starttls": true, "sni": "dir.example", "ca_file": id.certFile}), pass, none, "bound, an entry found"},
		{"StartTLS, ends soon", with(m{"starttls": true, "sni": "dir.example", "ca_file": id.certFile, "expires_within": "2h"}), degraded, none, "bound, an entry found, but its certificate ends on *"},
		{"StartTLS, another name", with(m{"starttls": true, "sni": "no.example", "ca_file": id.certFile}), failed, checkers.ClassTLS, "tls: failed to verify certificate: x509: certificate is valid for dir.example, not no.example"},
		{"ldaps on the port of ldap", with(m{"tls": true, "verify": false}), failed, checkers.ClassTLS, "the server closed the connection during the TLS handshake"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "ldap", plain) })
	}
	for _, test := range []serverTest{
		{"ldaps", with(m{"tls": true, "sni": "dir.example", "ca_file": id.certFile}), pass, none, "bound, an entry found"},
		{"ldaps, unknown authority", m{"tls": true, "sni": "dir.example"}, failed, checkers.ClassTLS, "tls: failed to verify certificate: x509: certificate signed by unknown authority (name its authority in ca_file, or set verify: false)"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "ldap", secure) })
	}
}

func TestLDAPSick(t *testing.T) {
	t.Run("anonymous", func(t *testing.T) { testSick(t, "ldap", nil) })
	t.Run("bind", func(t *testing.T) {
		testSick(t, "ldap", m{"user": "cn=a", "password_file": writeFile(t, "p", "x")})
	})
	t.Run("StartTLS", func(t *testing.T) { testSick(t, "ldap", m{"starttls": true, "verify": false}) })
	for _, test := range []struct {
		name    string
		options m
		says    string
		class   checkers.Class
		message string
	}{
		{"no StartTLS", m{"starttls": true}, "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00", checkers.ClassTLS, "the server refuses StartTLS: Protocol Error (2)"},
		{"another answer", m{"starttls": true}, "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", checkers.ClassProtocol, "the server does not speak LDAP"},
		{"a length that lies", nil, "\x30\x84\x7f\xff\xff\xff\x02\x01\x01", checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
		{"busy", nil, "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x33\x04\x00\x04\x00", checkers.ClassStatus, "search: Busy (51)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = io.WriteString(conn, test.says)
			})
			serverTest{"", test.options, failed, test.class, test.message}.run(t, "ldap", server)
		})
	}
	for _, test := range []mistakeTest{
		{"no password", "ldap", m{"user": "cn=a"}, []string{"user: needs a password: give password_file, or remove this one"}},
		{"filter", "ldap", m{"filter": "(a=b"}, []string{`filter: "(a=b" is no filter: LDAP Result Code 201 "Filter Compile Error": ldap: unexpected end of filter`}},
		{"scope without base", "ldap", m{"scope": "sub"}, []string{"scope: needs a base: give it, or remove this one"}},
		{"two ways to TLS", "ldap", m{"tls": true, "starttls": true}, []string{"starttls: is one way to TLS and tls another: remove one of the two"}},
	} {
		t.Run(test.name, test.run)
	}
}
