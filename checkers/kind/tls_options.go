// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"
)

// tlsOptions describes the options of all checks inside TLS.
func tlsOptions() []Option {
	return []Option{
		{Name: "sni", Form: FormText, Doc: "The name that is sent, and that the certificate must be valid for; without it the host."},
		{Name: "verify", Form: FormFlag, Default: "true", Doc: "Whether the certificate is verified."},
		{Name: "ca_file", Form: FormFile, Doc: "The authorities to trust, in PEM form, instead of the system's."},
		{Name: "min_version", Form: FormText, Default: "tls1.2", Values: []string{"tls1.0", "tls1.1", "tls1.2", "tls1.3"}, Doc: "The oldest version of TLS that passes."},
		{Name: "cert_file", Form: FormFile, Doc: "A certificate of the check's own, in PEM form with its chain, for servers that ask for one."},
		{Name: "key_file", Form: FormFile, Doc: "The key of that certificate, in PEM form."},
		{Name: "fingerprint", Form: FormText, Doc: "The SHA-256 that the server's certificate must have, in hex, as openssl x509 -fingerprint -sha256 prints it."},
	}
}

// secureOptions describes those and what only this package's own handshakes do.
func secureOptions() []Option {
	return append(tlsOptions(), Option{
		Name: "expires_within", Form: FormDuration,
		Doc: "A certificate that ends within this time makes the server degraded: 14d, 36h.",
	})
}

// tlsCheckOptions describes the options of tls.
func tlsCheckOptions() []Option {
	return append(secureOptions(), Option{
		Name: "alpn", Form: FormList,
		Doc: "Protocols to offer (RFC 7301), of which the server must agree to one: [h2, http/1.1].",
	})
}

// readTLS reads the options of TLS. The name that is sent and verified is sni,
// or else host.
func readTLS(o *options, host string, protocols ...string) *tls.Config {
	config := &tls.Config{
		MinVersion: readVersion(o),
		NextProtos: protocols,
		ServerName: bareHost(host),
	}
	if sni := o.text("sni", ""); sni != "" {
		if problem := badName(sni); problem != "" {
			o.reject([]string{"sni"}, "%s", problem)
		}
		config.ServerName = sni
	}
	verify := o.flag("verify", true)
	config.InsecureSkipVerify = !verify // only where the operator says so
	file := o.text("ca_file", "")
	switch {
	case file != "" && !verify:
		o.reject([]string{"ca_file"}, "has no effect with verify: false: remove one of the two")
	case verify:
		roots, err := loadRoots(file)
		if err != nil {
			o.reject([]string{"ca_file"}, "%v", err)
		}
		config.RootCAs = roots
	}
	config.Certificates = readCertificate(o)
	config.VerifyConnection = readFingerprint(o)
	return config
}

// readSecure reads the options that secureOptions describes.
func readSecure(o *options, host string, protocols ...string) *secure {
	const longest = 10 * 366 * 24 * time.Hour
	return &secure{
		config: readTLS(o, host, protocols...),
		within: o.duration("expires_within", 0, time.Minute, longest),
	}
}

// insecure rejects the options of TLS where there is none.
func insecure(o *options, why string) {
	for _, option := range secureOptions() {
		if _, ok := o.get(option.Name); ok {
			o.reject([]string{option.Name}, "has no effect without TLS: %s", why)
		}
	}
}

// tlsFlag describes the switch of checks that speak in the clear or inside TLS.
func tlsFlag() Option {
	return Option{Name: "tls", Form: FormFlag, Default: "false", Doc: "Whether to speak inside TLS."}
}

// readTLSFlag reads it and the options of TLS; nil: in the clear.
func readTLSFlag(o *options, host string, protocols ...string) *secure {
	if o.flag("tls", false) {
		return readSecure(o, host, protocols...)
	}
	insecure(o, "set tls: true")
	return nil
}

func readVersion(o *options) uint16 {
	switch o.choice("min_version", "tls1.2", "tls1.0", "tls1.1", "tls1.2", "tls1.3") {
	case "tls1.0":
		return tls.VersionTLS10
	case "tls1.1":
		return tls.VersionTLS11
	case "tls1.3":
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

func readCertificate(o *options) []tls.Certificate {
	cert, key := o.text("cert_file", ""), o.text("key_file", "")
	switch {
	case cert == "" && key == "":
		return nil
	case key == "":
		o.reject([]string{"cert_file"}, "needs its key: give key_file as well")
		return nil
	case cert == "":
		o.reject([]string{"key_file"}, "needs its certificate: give cert_file as well")
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		o.reject([]string{"cert_file"}, "%v", err)
		return nil
	}
	return []tls.Certificate{pair}
}

// readFingerprint makes the function that compares it with a certificate's.
func readFingerprint(o *options) func(tls.ConnectionState) error {
	text := o.text("fingerprint", "")
	if text == "" {
		return nil
	}
	want, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(want) != sha256.Size {
		o.reject([]string{"fingerprint"}, "%q is not a SHA-256: write its %d bytes in hex, with colons or without", text, sha256.Size)
		return nil
	}
	return func(state tls.ConnectionState) error {
		got := sha256.Sum256(state.PeerCertificates[0].Raw) // a server always shows one
		if string(got[:]) != string(want) {
			return fmt.Errorf("the certificate's fingerprint is %x, not the one that is wanted", got)
		}
		return nil
	}
}

// loadRoots reads the certificates to trust: those of a file, or else the
// system's. Both are read now: a run may find no file descriptor left.
func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("cannot load the system's certificate authorities: %w: name a file of your own here", err)
		}
		return roots, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return roots, nil
}
