// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// identity is a self-signed certificate with its key, in files and in memory.
type identity struct {
	certFile, keyFile string
	pair              tls.Certificate
}

// newIdentity makes a certificate for names and addresses that ends then.
func newIdentity(t testing.TB, end time.Time, names ...string) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "real server"},
		NotBefore:             time.Now().Add(-48 * time.Hour),
		NotAfter:              end,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes})
	dir := t.TempDir()
	id := identity{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	for file, text := range map[string][]byte{id.certFile: certPEM, id.keyFile: keyPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if id.pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return id
}

// serveTLS answers 200 with this certificate and reports each SNI it is sent,
// and whether each connection ended with a close notification.
func serveTLS(t testing.TB, id identity, config *tls.Config) (target netip.AddrPort, sni <-chan string, notified <-chan bool) {
	t.Helper()
	names, ends := make(chan string, 10), make(chan bool, 10)
	config.Certificates = []tls.Certificate{id.pair}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- hello.ServerName
		return nil, nil
	}
	target = serve(t, func(conn net.Conn) {
		counted := &countingConn{Conn: conn}
		secure := tls.Server(counted, config)
		if readRequest(secure) != "" {
			_, _ = io.WriteString(secure, okHeader+"0\r\n\r\n")
			before := counted.read
			_, err := secure.Read(make([]byte, 1)) // io.EOF with a notification or without
			ends <- errors.Is(err, io.EOF) && counted.read > before
		}
	})
	return target, names, ends
}

// countingConn counts what arrives below TLS.
type countingConn struct {
	net.Conn
	read int
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read += n
	return n, err
}

func TestTLS(t *testing.T) {
	later := time.Now().Add(time.Hour)
	forName := newIdentity(t, later, "shop.example")
	forAddress := newIdentity(t, later, "127.0.0.1")
	expired := newIdentity(t, time.Now().Add(-24*time.Hour), "shop.example")
	const pass = "status 200"
	tests := []struct {
		name    string
		id      identity
		options m
		sni     string
		class   checkers.Class
		message string // begins so
	}{
		{"name", forName, m{"host": "shop.example", "ca_file": forName.certFile}, "shop.example", checkers.ClassNone, pass},
		{"name with a port", forName, m{"host": "shop.example:8443", "ca_file": forName.certFile}, "shop.example", checkers.ClassNone, pass},
		{"sni before host", forName, m{"host": "other.example", "sni": "shop.example", "ca_file": forName.certFile}, "shop.example", checkers.ClassNone, pass},
		{"address", forAddress, m{"ca_file": forAddress.certFile}, "", checkers.ClassNone, pass},
		{"unverified", expired, m{"verify": false}, "", checkers.ClassNone, pass},
		{"unverified with sni", expired, m{"verify": false, "sni": "x.example"}, "x.example", checkers.ClassNone, pass},
		{
			"wrong name", forName, m{"host": "other.example", "ca_file": forName.certFile}, "other.example", checkers.ClassTLS,
			"tls: failed to verify certificate: x509: certificate is valid for shop.example, not other.example",
		},
		{
			"name without host", forName, m{"ca_file": forName.certFile}, "", checkers.ClassTLS,
			"tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs (give the check a host or sni: without one",
		},
		{
			"self-signed", forName, m{"host": "shop.example"}, "shop.example", checkers.ClassTLS,
			"tls: failed to verify certificate: x509: certificate signed by unknown authority (name its authority in ca_file, or set verify: false)",
		},
		{
			"expired", expired, m{"host": "shop.example", "ca_file": expired.certFile}, "shop.example", checkers.ClassTLS,
			"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: ",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			target, sni, notified := serveTLS(t, test.id, &tls.Config{})
			got := checkFor(t, 10*time.Second, mustHTTP(t, Dialer{}.Dial, "https", test.options), target)
			message := fmt.Sprintf("GET https://%s/: %s", target, test.message)
			if got.Class != test.class || !strings.HasPrefix(got.Message, message) {
				t.Errorf("got  %s %q\nwant %s %q", got.Class, got.Message, test.class, message)
			}
			if got := <-sni; got != test.sni {
				t.Errorf("SNI: got %q, want %q", got, test.sni)
			}
			if test.class == checkers.ClassNone && !<-notified {
				t.Error("the server saw no close notification")
			}
		})
	}
}

func TestTLSRefusals(t *testing.T) {
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	wantsCert, _, _ := serveTLS(t, id, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	oldOnly, _, _ := serveTLS(t, id, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10})
	plain := serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n"); readRequest(conn) })
	closes := serve(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1<<16)) })
	stalls := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	tests := []struct {
		name    string
		target  netip.AddrPort
		timeout time.Duration
		class   checkers.Class
		message string
	}{
		{"wants a certificate of ours", wantsCert, 10 * time.Second, checkers.ClassTLS, "remote error: tls: certificate required"},
		{"too old", oldOnly, 10 * time.Second, checkers.ClassTLS, "the server refused the handshake: tls: protocol version not supported"},
		{"no TLS", plain, 10 * time.Second, checkers.ClassTLS, "the server does not speak TLS on this port"},
		{"closes", closes, 10 * time.Second, checkers.ClassTLS, "the server closed the connection during the TLS handshake"},
		{"stalls", stalls, 500 * time.Millisecond, checkers.ClassStalled, "connected, but no TLS handshake within LIMIT"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			checker := mustHTTP(t, Dialer{}.Dial, "https", m{"ca_file": id.certFile})
			result := checkFor(t, test.timeout, checker, test.target)
			wantResult(t, result, test.class, fmt.Sprintf("GET https://%s/: %s", test.target, test.message))
		})
	}
}
