// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// certificate makes one for the service's addresses.
func certificate(t *testing.T) (pem, key []byte) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-nodes", "-days", "2",
		"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", "key", "-out", "pem",
		"-subj", "/CN=shop.example", "-addext", "subjectAltName=IP:"+vip4+",IP:"+vip6)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a certificate: %v: %s", err, out)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "pem"))
	if err != nil {
		t.Fatal(err)
	}
	if key, err = os.ReadFile(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	return pem, key
}

// shop is a service by HTTPS. Its clients close as they like, and may reset what the
// server says after the page: that is between two kernels, as always.
var shop = service{name: "long", port: 443, tls: true, page: bodyFile("long.html")}

// TestHTTPS has clients of HTTPS get the page from the director itself. They trust
// nobody but the service's own certificate.
func TestHTTPS(t *testing.T) {
	for _, attach := range []string{"tc", "xdp"} {
		t.Run(attach, func(t *testing.T) {
			s := newStage(t, attach, shop)
			s.compile(t)
			s.trust(t, s.director.file("shop.pem"))
			for _, h := range []httpClient{
				{name: "curl HTTP 1.1", get: curl("--http1.1", "--cacert", "shop.pem")},
				{name: "curl HTTP 2", get: curl("--http2", "--cacert", "shop.pem")},
				{name: "curl TLS 1.2", get: curl("--tls-max", "1.2", "--cacert", "shop.pem")},
				{name: "go", get: byGoInTLS},
				{name: "python", get: printed("python3", "get.py")},
				{name: "node fetch", get: printed("node", "fetch.js")},
				{name: "java", get: printed("java", "-Djavax.net.ssl.trustStore=shop.p12", "-Djavax.net.ssl.trustStorePassword=password", "Get")},
			} {
				for _, vip := range addresses() {
					url := fmt.Sprintf("https://%s/any/url?x=1", netip.AddrPortFrom(vip, shop.port))
					t.Run(h.name+"/"+vip.String(), func(t *testing.T) { h.wantPage(t, s.client, url, page(shop.name)) })
				}
			}
		})
	}
}

// trust gives the client the certificate, for Java in a store.
func (c client) trust(t *testing.T, pem string) {
	t.Helper()
	data, err := os.ReadFile(pem)
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, "shop.pem"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	made := c.ask(t.Context(), "keytool", "-importcert", "-noprompt", "-alias", "shop", "-file", "shop.pem", "-keystore", "shop.p12", "-storepass", "password")
	if made.ended != nil {
		t.Fatalf("make a store for Java: %v: %s", made.ended, made.both())
	}
}

func byGoInTLS(ctx context.Context, c client, url string) (*http.Response, error) {
	pem, err := os.ReadFile(filepath.Join(c.dir, "shop.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return c.fetch(ctx, url, &http.Transport{
		DialContext: c.DialContext, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
	})
}
