// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
)

// tlsFor is the TLS configuration for one target. Where neither host nor sni
// names the server, its certificate must be valid for its address.
func (h *httpCheck) tlsFor(target netip.AddrPort) *tls.Config {
	if h.tls.ServerName != "" {
		return h.tls
	}
	config := h.tls.Clone()
	config.ServerName = target.Addr().WithZone("").String() // an address is verified, but never sent as SNI
	return config
}

// tlsOptions describes the options of all checks inside TLS.
func tlsOptions() []Option {
	return []Option{
		{Name: "sni", Form: FormText, Doc: "The name that is sent, and that the certificate must be valid for; without it the host."},
		{Name: "verify", Form: FormFlag, Default: "true", Doc: "Whether the certificate is verified."},
		{Name: "ca_file", Form: FormFile, Doc: "The authorities to trust, in PEM form, instead of the system's."},
	}
}

// readTLS reads the options of TLS. The name that is sent and verified is sni,
// or else host.
func readTLS(o *options, host string, protocols ...string) *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
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
	return config
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

// explainTLS adds what to do to the errors of a handshake that operators meet
// most. It keeps the error's chain, so that classify sees through it.
func explainTLS(err error) error {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &name) && net.ParseIP(name.Host) != nil:
		return fmt.Errorf("%w (give the check a host or sni: without one the certificate must name the address)", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w (name its authority in ca_file, or set verify: false)", err)
	case errors.As(err, &record):
		return errors.New("the server does not speak TLS on this port")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server closed the connection during the TLS handshake")
	case errors.As(err, &op) && op.Op == "remote error":
		return fmt.Errorf("the server refused the handshake: %w", op.Err)
	}
	return err
}
