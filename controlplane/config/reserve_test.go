// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// certificate makes one that is valid for so long from now on, and its key.
func certificate(t *testing.T, valid time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(valid),
		DNSNames: []string{"shop.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// reserved parses a configuration whose one service has this under sorry, beside
// files of a certificate.
func reserved(t *testing.T, keys, sorry string) (*Config, error) {
	t.Helper()
	cert, key := certificate(t, 365*24*time.Hour)
	_, other := certificate(t, time.Hour)
	ended, endedKey := certificate(t, -24*time.Hour)
	text := director + pools + "services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: both, " + keys + " sorry: {" + sorry + "}}]\n"
	return fake(map[string]string{
		"maitred.yaml": text, "shop.pem": cert, "shop.key": key, "other.key": other, "ended.pem": ended, "ended.key": endedKey, "empty": "",
	}, nil).load([]string{"maitred.yaml"})
}

func TestReserve(t *testing.T) {
	cfg, err := reserved(t, "", "pool: four")
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Services[0]
	if got := s.ByPool(); len(got) != 2 || got[0].Pool != "both" || got[1].Pool != "four" || s.Local() {
		t.Errorf("by pool %+v", got)
	}
	cfg, err = reserved(t, "", "server: 10.0.0.99:8080")
	if err != nil {
		t.Fatal(err)
	}
	pool, _ := cfg.Pool("sorry:shop")
	want := Server{Name: "10.0.0.99", Address: netip.MustParseAddr("10.0.0.99"), Port: 8080, Weight: 1}
	if len(pool.Servers) != 1 || pool.Servers[0] != want || len(pool.Checks) != 0 || cfg.Services[0].Sorry.Pool != pool.Name {
		t.Errorf("pool %+v", pool)
	}
	if _, err = reserved(t, "protocol: udp,", "server: 10.0.0.99:53"); err != nil {
		t.Errorf("of udp: %v", err)
	}
	if cfg, err = reserved(t, "method: dr,", "tls: {cert: shop.pem, key: shop.key}"); err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, cfg)
	s = cfg.Services[0]
	pool, _ = cfg.Pool(s.Sorry.Pool)
	if !s.Local() || len(pool.Serving(s)) != 1 || !pool.Serving(s)[0].Local {
		t.Errorf("service %+v, pool %+v", s, pool)
	}
	if k, _ := cfg.Check(SorryCheck); k.Fingerprint != "sorry-server at /run/maitred/maitred-sorry.sock" {
		t.Errorf("check %+v", k)
	}
	if notes := cfg.Notes(); len(notes) != 2 { // pools four and six
		t.Errorf("notes %v", notes)
	}
}

// No way of printing a configuration shows the key.
func TestKeyIsHidden(t *testing.T) {
	cfg, err := reserved(t, "", "tls: {cert: shop.pem, key: shop.key}")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(cfg.Services)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(shown), fmt.Sprintf("%v %+v %#v", cfg.Services, cfg.Services, cfg.Services[0].Sorry)} {
		if strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("shows the key: %s", text)
		}
	}
}

func TestMistakesOfReserves(t *testing.T) {
	const line = "maitred.yaml:6: services[0]."
	for name, test := range map[string]struct{ keys, sorry, want string }{
		"unknown pool":      {"", "pool: fuor", line + `sorry.pool: there is no pool "fuor" (did you mean four?)`},
		"its own":           {"", "pool: both", line + "sorry.pool: is the service's own pool: name another"},
		"of another family": {"", "pool: six", line + `sorry.pool: no server of pool "six" is of the family of 192.0.2.1: nat does not translate between them, tun goes across`},
		"of another port":   {"method: dr,", "pool: four", line + `sorry.pool: dr cannot change ports, but the service has port 80 and server "b" of pool "four" has 8080: leave the server's port out, or use another method`},
		"server's port":     {"method: tun,", "server: 10.0.0.99:81", line + `sorry.server: tun cannot change ports, but the service has port 80 and server "10.0.0.99" of pool "sorry:shop" has 81: leave the server's port out, or use another method`},
		"server's family":   {"", `server: "[2001:db8::99]:80"`, line + `sorry.server: no server of pool "sorry:shop" is of the family of 192.0.2.1: nat does not translate between them, tun goes across`},
		"no port":           {"", "server: 10.0.0.99", line + `sorry.server: "10.0.0.99" is not an address and port: say 10.0.0.99:80 or "[2001:db8::99]:80"`},
		"two of them":       {"", "pool: four, server: 10.0.0.99:80", line + "sorry.server: stands beside pool: a service has one of them"},
		"tls and pool":      {"", "pool: four, tls: {cert: shop.pem, key: shop.key}", line + "sorry.tls: stands beside pool: a service has one of them"},
		"no key":            {"", "tls: {cert: shop.pem}", line + "sorry.tls.key: is missing: name a file in PEM"},
		"no file":           {"", "tls: {cert: shop.pem, key: absent}", line + `sorry.tls.key: "absent" cannot be read: file does not exist`},
		"wrong key":         {"", "tls: {cert: shop.pem, key: other.key}", line + "sorry.tls: certificate and key are of no use together: tls: private key does not match public key"},
		"no certificate":    {"", "tls: {cert: empty, key: shop.key}", line + "sorry.tls: certificate and key are of no use together: tls: failed to find any PEM data in certificate input"},
		"tls of udp":        {"protocol: udp,", "page: none, tls: {cert: shop.pem, key: shop.key}", line + "sorry.tls: is for tcp"},
		"tls and no page":   {"", "page: none, tls: {cert: shop.pem, key: shop.key}", line + "sorry.page: is none, and the sorry server of this machine needs a page to answer with"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := reserved(t, test.keys, test.sorry)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestNotesOfReserves(t *testing.T) {
	cfg, err := reserved(t, "", "tls: {cert: ended.pem, key: ended.key}")
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(cfg.Notes()); !strings.Contains(text, "sorry.tls.cert: the certificate expired on ") {
		t.Error(text)
	}
	cfg, err = parse(director + pools + `services: [{name: shop, addresses: [192.0.2.1, "2001:db8::9"], ports: [80], pool: both, sorry: {pool: four}}]` + "\n")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(cfg.Notes())
	for _, want := range []string{`sorry: no server of pool "four" is IPv6`, `sorry.pool: pool "four" has no checks`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}

func TestOthersForwardNowhere(t *testing.T) {
	_, err := parse("director: {interfaces: [eth0], forwarding: none}\n" + pools + "services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: both, sorry: {pool: four}}]\n")
	const want = "maitred.yaml:6: services[0].sorry: names who serves in an outage, and nobody leads clients there where others forward: leave it to them"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
