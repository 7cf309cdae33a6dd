// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/maitred-lb/maitred/checkers"
)

// serveGRPC runs a server of gRPC until the test ends.
func serveGRPC(t testing.TB, service healthpb.HealthServer, options ...grpc.ServerOption) netip.AddrPort {
	t.Helper()
	l := listen(t)
	server := grpc.NewServer(options...)
	if service != nil {
		healthpb.RegisterHealthServer(server, service)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.target
}

// sickHealth answers by the name of the service.
type sickHealth struct {
	healthpb.UnimplementedHealthServer
}

func (sickHealth) Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	switch in.GetService() {
	case "stalled":
		<-ctx.Done()
		return nil, ctx.Err()
	case "denied":
		if data, _ := metadata.FromIncomingContext(ctx); len(data.Get("authorization")) == 0 {
			return nil, status.Error(codes.Unauthenticated, "who are you?")
		}
	case "large":
		r := &healthpb.HealthCheckResponse{}
		r.ProtoReflect().SetUnknown(append([]byte{0x7a, 0x80, 0x80, 0x04}, make([]byte, 1<<16)...)) // field 15 of 64 KiB
		return r, nil
	case "odd":
		return &healthpb.HealthCheckResponse{Status: 99}, nil
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func TestGRPC(t *testing.T) {
	id := newIdentity(t, time.Now().Add(240*time.Hour), "127.0.0.1")
	real := health.NewServer()
	real.SetServingStatus("shop.Cart", healthpb.HealthCheckResponse_SERVING)
	real.SetServingStatus("shop.Stock", healthpb.HealthCheckResponse_NOT_SERVING)
	good, sick, bare := serveGRPC(t, real), serveGRPC(t, sickHealth{}), serveGRPC(t, nil)
	secure := serveGRPC(t, real, grpc.Creds(credentials.NewServerTLSFromCert(&id.pair)))
	page := serveH2C(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	missing := serveH2C(t, http.NotFound)
	lying := serveH2C(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, "no message")
		w.Header().Set("Grpc-Status", "0")
	})
	old, _, _ := serveTLS(t, id, &tls.Config{})
	silent := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	pass, fail := checkers.OutcomePass, checkers.OutcomeFail
	for _, test := range []struct {
		name    string
		target  netip.AddrPort
		options m
		outcome checkers.Outcome
		class   checkers.Class
		message string // matches
	}{
		{"server", good, m{}, pass, checkers.ClassNone, "^gRPC health of the server on .*: SERVING$"},
		{"service", good, m{"service": "shop.Cart"}, pass, checkers.ClassNone, "^gRPC health of shop.Cart on .*: SERVING$"},
		{"not serving", good, m{"service": "shop.Stock"}, fail, checkers.ClassStatus, ": NOT_SERVING$"},
		{"unknown service", good, m{"service": "shop.Nothing"}, fail, checkers.ClassStatus, ": the server knows no such service$"},
		{"TLS", secure, m{"tls": true, "ca_file": id.certFile}, pass, checkers.ClassNone, ": SERVING$"},
		{"ends soon", secure, m{"tls": true, "ca_file": id.certFile, "expires_within": "14d"}, checkers.OutcomeDegraded, checkers.ClassNone, ": SERVING, but its certificate ends on [0-9-]+: renew it$"},
		{"self-signed", secure, m{"tls": true}, fail, checkers.ClassTLS, "signed by unknown authority"},
		{"no TLS", good, m{"tls": true}, fail, checkers.ClassTLS, ": the server does not speak TLS on this port$"},
		{"TLS unasked for", secure, m{}, fail, checkers.ClassProtocol, ": "},
		{"no HTTP/2 in TLS", old, m{"tls": true, "ca_file": id.certFile}, fail, checkers.ClassTLS, `: the server agreed to none of the protocols \["h2"\] \(ALPN\)$`},
		{"no health service", bare, m{}, fail, checkers.ClassStatus, `: the server has no health service \(grpc.health.v1\)$`},
		{"unauthenticated", sick, m{"service": "denied"}, fail, checkers.ClassStatus, `: status Unauthenticated: who are you\?$`},
		{"authenticated", sick, m{"service": "denied", "headers": []any{m{"name": "authorization", "value": "Bearer x"}}}, pass, checkers.ClassNone, ": SERVING$"},
		{"stalled", sick, m{"service": "stalled"}, fail, checkers.ClassStalled, ": connected, but no answer within [0-9.]+m?s$"},
		{"large", sick, m{"service": "large"}, fail, checkers.ClassProtocol, ": the answer is longer than 4096 bytes$"},
		{"odd", sick, m{"service": "odd"}, fail, checkers.ClassStatus, ": 99$"},
		{"a page", page, m{}, fail, checkers.ClassProtocol, ": the answer has no status of gRPC: the server does not speak it here$"},
		{"404", missing, m{}, fail, checkers.ClassStatus, ": status 404 of HTTP, wanted 200$"},
		{"lying", lying, m{}, fail, checkers.ClassProtocol, `: the answer is no health status \(10 bytes\)$`},
		{"silent", silent, m{}, fail, checkers.ClassStalled, ": connected, but no answer within [0-9.]+m?s$"},
		{"refused", freePort(t), m{}, fail, checkers.ClassRefused, ": connection refused$"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if test.class == checkers.ClassStalled {
				timeout = stallLimit
			}
			got := checkFor(t, timeout, must(t, "grpc", test.options), test.target)
			if got.Outcome != test.outcome || got.Class != test.class || !regexp.MustCompile(test.message).MatchString(got.Message) {
				t.Errorf("got %+v\nwant %s, %s, %q", got, test.outcome, test.class, test.message)
			}
		})
	}
}

func TestGRPCMistakes(t *testing.T) {
	for _, test := range []mistakeTest{
		{"name", "grpc", m{"service": "\xff"}, []string{"service: string field contains invalid UTF-8"}},
		{"options of TLS without it", "grpc", m{"sni": "a.example"}, []string{"sni: has no effect without TLS: set tls: true"}},
	} {
		t.Run(test.name, test.run)
	}
}
