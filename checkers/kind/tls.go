// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// tlsCheck passes when the real server completes a handshake of TLS with a
// certificate that is good. Nothing is said inside.
type tlsCheck struct {
	dial   dialFunc
	secure *secure
}

func newTLS(env Env, o *options) checkers.Checker {
	alpn := o.texts("alpn")
	for i, name := range alpn {
		if len(name) > 255 {
			o.reject([]string{"alpn", fmt.Sprint(i)}, "is longer than the 255 bytes of RFC 7301")
		}
	}
	c := &tlsCheck{dial: env.Dialer.Dial, secure: readSecure(o, "", alpn...)}
	if len(alpn) > 0 {
		c.secure.demandALPN()
	}
	return c
}

// Check implements Checker.
func (t *tlsCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "TLS with "+target.String())
	conn, err := t.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	a.step("connected")
	inside, err := t.secure.handshake(a, conn, target)
	if err != nil {
		return a.broken(ctx, err, checkers.ClassTLS, "connected, but no TLS handshake")
	}
	result := t.secure.watch(a.pass("%s", describe(inside.ConnectionState())), inside.ConnectionState())
	farewell(ctx, inside)
	if err := lastWord(ctx, inside); err != nil {
		return a.fail(checkers.ClassTLS, "%v", err)
	}
	return result
}

// lastWord is what a server says when its side of the handshake ends: in TLS 1.3
// it may turn our certificate down, or the lack of one, only after our side has
// ended. A server that says nothing is content.
func lastWord(ctx context.Context, conn *tls.Conn) error {
	const patience = 200 * time.Millisecond // of servers that do not hear the farewell
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer interrupt(ctx, conn)()
	_, err := conn.Read(make([]byte, 1))
	if op := new(net.OpError); errors.As(err, &op) && op.Op == "remote error" {
		return explainTLS(err)
	}
	return nil
}

// secure is how a check speaks TLS.
type secure struct {
	config *tls.Config
	// within makes a certificate that ends so soon degrade the server; zero: it
	// is not looked at.
	within time.Duration
}

// handshake makes a connection one in TLS. The caller gives it to farewell.
func (s *secure) handshake(a attempt, conn net.Conn, target netip.AddrPort) (*tls.Conn, error) {
	inside := tls.Client(conn, tlsFor(s.config, target))
	if err := inside.Handshake(); err != nil {
		return nil, explainTLS(err)
	}
	a.step("%s", describe(inside.ConnectionState()))
	return inside, nil
}

// watch makes a pass a degraded one where the certificate ends soon.
func (s *secure) watch(r checkers.Result, state tls.ConnectionState) checkers.Result {
	if s == nil || s.within == 0 || r.Outcome != checkers.OutcomePass || len(state.PeerCertificates) == 0 {
		return r
	}
	end := state.PeerCertificates[0].NotAfter
	if left := time.Until(end); left < s.within {
		r.Outcome = checkers.OutcomeDegraded
		r.Message = checkers.Clip(fmt.Sprintf("%s, but its certificate ends on %s: renew it", r.Message, end.UTC().Format(time.DateOnly)), checkers.MaxMessage)
	}
	return r
}

// demandALPN makes a handshake fail where no protocol of ours is agreed on: a
// server may ignore them all.
func (s *secure) demandALPN() {
	verify, wanted := s.config.VerifyConnection, s.config.NextProtos
	s.config.VerifyConnection = func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol == "" {
			return fmt.Errorf("the server agreed to none of the protocols %q (ALPN)", wanted)
		}
		if verify != nil {
			return verify(state)
		}
		return nil
	}
}

// describe tells what a handshake led to.
func describe(state tls.ConnectionState) string {
	text := tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite)
	if state.NegotiatedProtocol != "" {
		text += ", ALPN " + state.NegotiatedProtocol
	}
	if len(state.PeerCertificates) > 0 {
		text += ", certificate until " + state.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly)
	}
	return text
}

// tlsFor is the TLS configuration for one target. Where neither host nor sni
// names the server, its certificate must be valid for its address.
func tlsFor(config *tls.Config, target netip.AddrPort) *tls.Config {
	if config.ServerName != "" {
		return config
	}
	config = config.Clone()
	config.ServerName = target.Addr().Unmap().WithZone("").String() // an address is verified, but never sent as SNI
	return config
}

// farewell tells the server that the end of the connection is meant, which
// keeps its log clean. When the time is up the server may read no more, and
// package tls would wait seconds for it: tls.Conn.Close must not be called.
func farewell(ctx context.Context, conn *tls.Conn) {
	if ctx.Err() == nil {
		_ = conn.CloseWrite() // the verdict stands already
	}
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
