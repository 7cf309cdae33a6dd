// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// tlsTest runs one check of TLS.
type tlsTest struct {
	name    string
	options m
	outcome checkers.Outcome
	class   checkers.Class
	message string // matches what follows the address
}

func (test tlsTest) run(t *testing.T, target netip.AddrPort) {
	timeout := 10 * time.Second
	if test.class == checkers.ClassStalled {
		timeout = stallLimit
	}
	got := checkFor(t, timeout, must(t, "tls", test.options), target)
	want := regexp.MustCompile("^" + regexp.QuoteMeta(fmt.Sprintf("TLS with %s: ", target)) + test.message)
	if got.Outcome != test.outcome || got.Class != test.class || !want.MatchString(got.Message) {
		t.Errorf("got  %s %s %q\nwant %s %s %q", got.Outcome, got.Class, got.Message, test.outcome, test.class, want)
	}
}

func fingerprintOf(id identity) string {
	return fmt.Sprintf("%X", sha256.Sum256(id.pair.Certificate[0]))
}

// TestOpenSSL checks the server of OpenSSL, of each version of TLS.
func TestOpenSSL(t *testing.T) {
	good := newIdentity(t, time.Now().Add(30*24*time.Hour), "shop.example", "127.0.0.1")
	expired := newIdentity(t, time.Now().Add(-time.Hour), "shop.example")
	other := newIdentity(t, time.Now().Add(time.Hour), "client.example")
	pass, degraded, fail := checkers.OutcomePass, checkers.OutcomeDegraded, checkers.OutcomeFail
	for _, server := range []struct {
		name  string
		id    identity
		flags []string
		tests []tlsTest
	}{
		{"plain", good, nil, []tlsTest{
			{"by address", m{"ca_file": good.certFile}, pass, checkers.ClassNone, "TLS 1.3, TLS_[A-Z0-9_]+, certificate until [0-9-]+$"},
			{"by name", m{"ca_file": good.certFile, "sni": "shop.example", "min_version": "tls1.3"}, pass, checkers.ClassNone, "TLS 1.3, "},
			{"wrong name", m{"ca_file": good.certFile, "sni": "other.example"}, fail, checkers.ClassTLS, "tls: failed to verify certificate: x509: certificate is valid for shop.example, not other.example"},
			{"self-signed", nil, fail, checkers.ClassTLS, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
			{"unverified", m{"verify": false}, pass, checkers.ClassNone, "TLS 1.3, "},
			{"ends later", m{"ca_file": good.certFile, "expires_within": "29d"}, pass, checkers.ClassNone, "TLS 1.3, "},
			{"ends soon", m{"ca_file": good.certFile, "expires_within": "31d"}, degraded, checkers.ClassNone, "TLS 1.3, .*, but its certificate ends on [0-9-]+: renew it$"},
			{"pinned", m{"verify": false, "fingerprint": fingerprintOf(good)}, pass, checkers.ClassNone, "TLS 1.3, "},
			{"pinned to another", m{"verify": false, "fingerprint": fingerprintOf(other)}, fail, checkers.ClassTLS, "the certificate's fingerprint is [0-9a-f]{64}, not the one that is wanted$"},
			{"ALPN ignored", m{"ca_file": good.certFile, "alpn": []any{"h2"}}, fail, checkers.ClassTLS, `the server agreed to none of the protocols \["h2"\] \(ALPN\)$`},
		}},
		{"ALPN", good, []string{"-alpn", "h2"}, []tlsTest{
			{"agreed", m{"ca_file": good.certFile, "alpn": []any{"http/1.1", "h2"}}, pass, checkers.ClassNone, "TLS 1.3, .*, ALPN h2, certificate"},
			{"another", m{"ca_file": good.certFile, "alpn": []any{"imap"}}, fail, checkers.ClassTLS, `the server (refused the handshake: tls: no application protocol|agreed to none of the protocols \["imap"\] \(ALPN\))$`},
		}},
		{"expired", expired, nil, []tlsTest{
			{"verified", m{"ca_file": expired.certFile, "sni": "shop.example"}, fail, checkers.ClassTLS, "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: "},
			{"unverified but looked at", m{"verify": false, "expires_within": "1m"}, degraded, checkers.ClassNone, "TLS 1.3, .*, but its certificate ends on [0-9-]+: renew it$"},
		}},
		{"TLS 1.2", good, []string{"-tls1_2"}, []tlsTest{
			{"will do", m{"ca_file": good.certFile}, pass, checkers.ClassNone, "TLS 1.2, "},
			{"too old", m{"ca_file": good.certFile, "min_version": "tls1.3"}, fail, checkers.ClassTLS, "the server refused the handshake: tls: protocol version not supported$"},
		}},
		{"wants a certificate in TLS 1.3", good, []string{"-Verify", "1", "-verify_return_error", "-CAfile", other.certFile}, clientTests(good, other)},
		{"wants a certificate in TLS 1.2", good, []string{"-tls1_2", "-Verify", "1", "-verify_return_error", "-CAfile", other.certFile}, clientTests(good, other)},
	} {
		t.Run(server.name, func(t *testing.T) {
			target := startOpenSSL(t, server.id, server.flags...)
			for _, test := range server.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, target) })
			}
		})
	}
}

func clientTests(server, client identity) []tlsTest {
	return []tlsTest{
		{"given", m{"ca_file": server.certFile, "cert_file": client.certFile, "key_file": client.keyFile}, checkers.OutcomePass, checkers.ClassNone, "TLS 1.[23], "},
		{"another", m{"ca_file": server.certFile, "cert_file": server.certFile, "key_file": server.keyFile}, checkers.OutcomeFail, checkers.ClassTLS, "the server refused the handshake: tls: "},
		{"none", m{"ca_file": server.certFile}, checkers.OutcomeFail, checkers.ClassTLS, "the server refused the handshake: tls: "},
	}
}

// TestTLSSick checks servers that fail at each step of a handshake.
func TestTLSSick(t *testing.T) {
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	garbage := func(conn net.Conn) { _, _ = io.Copy(conn, strings.NewReader(strings.Repeat("x", 1<<20))) }
	for _, server := range []struct {
		handle func(net.Conn)
		tlsTest
	}{
		{func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, tlsTest{"stalls", nil, checkers.OutcomeFail, checkers.ClassStalled, "connected, but no TLS handshake within "}},
		{func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1<<16)) }, tlsTest{"closes", nil, checkers.OutcomeFail, checkers.ClassTLS, "the server closed the connection during the TLS handshake$"}},
		{func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); abort(conn) }, tlsTest{"resets", nil, checkers.OutcomeFail, checkers.ClassTLS, "(connection reset by peer|broken pipe)$"}},
		{garbage, tlsTest{"floods", nil, checkers.OutcomeFail, checkers.ClassTLS, "the server does not speak TLS on this port$"}},
		{func(conn net.Conn) {
			inside := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{id.pair}})
			_, _ = io.WriteString(inside, "220 hello, and I never end\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}, tlsTest{"greets and stays", m{"ca_file": id.certFile}, checkers.OutcomePass, checkers.ClassNone, "TLS 1.3, "}},
	} {
		t.Run(server.name, func(t *testing.T) { server.run(t, serve(t, server.handle)) })
	}
	t.Run("refuses", func(t *testing.T) {
		tlsTest{"", nil, checkers.OutcomeFail, checkers.ClassRefused, "connection refused$"}.run(t, freePort(t))
	})
}

func TestTLSOptionMistakes(t *testing.T) {
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	other := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	const span = " is not a time from 1m0s to 87840h0m0s: write it as 500ms, 2s or 1h"
	for _, test := range []mistakeTest{
		{"version", "tls", m{"min_version": "ssl3"}, []string{`min_version: "ssl3" is none of tls1.0, tls1.1, tls1.2, tls1.3`}},
		{"key without certificate", "tls", m{"key_file": id.keyFile}, []string{"key_file: needs its certificate: give cert_file as well"}},
		{"certificate without key", "tls", m{"cert_file": id.certFile}, []string{"cert_file: needs its key: give key_file as well"}},
		{"another's key", "tls", m{"cert_file": id.certFile, "key_file": other.keyFile}, []string{"cert_file: tls: private key does not match public key"}},
		{"fingerprint", "tls", m{"fingerprint": "ab:cd"}, []string{`fingerprint: "ab:cd" is not a SHA-256: write its 32 bytes in hex, with colons or without`}},
		{"no time", "tls", m{"expires_within": "soon"}, []string{"expires_within: soon" + span}},
		{"no days", "tls", m{"expires_within": "d"}, []string{"expires_within: d" + span}},
		{"too many days", "tls", m{"expires_within": "4000d"}, []string{"expires_within: 4000d" + span}},
		{"long protocol", "tls", m{"alpn": []any{strings.Repeat("a", 256)}}, []string{"alpn[0]: is longer than the 255 bytes of RFC 7301"}},
	} {
		t.Run(test.name, test.run)
	}
}

// startOpenSSL runs openssl s_server until the test ends.
func startOpenSSL(t *testing.T, id identity, flags ...string) netip.AddrPort {
	t.Helper()
	binary, err := exec.LookPath("openssl")
	if err != nil {
		const missing = "openssl is not installed: apt-get install openssl"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	target := freePort(t)
	var output bytes.Buffer
	server := exec.Command(binary, append([]string{"s_server", "-quiet", "-accept", target.String(), "-cert", id.certFile, "-key", id.keyFile}, flags...)...)
	server.Stdout, server.Stderr = &output, &output
	idle, err := server.StdinPipe() // an end of its input would end it
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // killed
		_ = idle.Close()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := tls.Dial("tcp", target.String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			_ = conn.Close()
			return target
		}
		if strings.Contains(err.Error(), "remote error") {
			return target // it listens, and wants a certificate
		}
		if time.Now().After(deadline) {
			t.Fatalf("openssl does not listen: %v\n%s", err, output.String())
		}
	}
}
