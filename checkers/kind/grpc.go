// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/maitred-lb/maitred/checkers"
)

// maxReply is what is read of an answer in gRPC, in bytes: a health status has
// two.
const maxReply = 4 << 10

// grpcCheck passes when the real server says that a service is SERVING, by the
// health checking protocol of gRPC, version 1 (grpc.health.v1). It makes the one
// call on a connection of its own: nothing is retried or balanced.
type grpcCheck struct {
	http    *httpCheck // how the call is sent
	service string     // empty: the server as a whole
}

// grpcOptions describes the options of grpc.
func grpcOptions() []Option {
	return append([]Option{
		{Name: "service", Form: FormText, Doc: "The full name of the service that is asked for, as the server registered its health; without it the server as a whole."},
		{Name: "host", Form: FormText, Doc: "The authority that is sent; without it the server's address."},
		{Name: "headers", Form: FormMaps, Doc: "Metadata to send.", Options: []Option{
			{Name: "name", Form: FormText, Doc: "The key."},
			{Name: "value", Form: FormText, Doc: "Its value."},
		}},
		tlsFlag(),
	}, secureOptions()...)
}

func newGRPC(env Env, o *options) checkers.Checker {
	g := &grpcCheck{service: o.text("service", "")}
	message, err := proto.Marshal(&health.HealthCheckRequest{Service: g.service})
	if err != nil {
		o.reject([]string{"service"}, "%v", err)
	}
	g.http = &httpCheck{
		dial: env.Dialer.Dial, scheme: "http", version: version2C, method: http.MethodPost,
		url: url.URL{Path: health.Health_Check_FullMethodName}, host: readHost(o), header: readHeaders(o),
		payload: append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...), // not compressed
	}
	g.http.header.Set("Content-Type", "application/grpc")
	g.http.header.Set("Te", "trailers")
	if g.http.secure = readTLSFlag(o, g.http.host, version2); g.http.secure != nil {
		g.http.scheme, g.http.version = "https", version2
		g.http.secure.demandALPN()
	}
	return g
}

// Check implements Checker.
func (g *grpcCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
	a := newAttempt(ctx, "gRPC health of "+g.what()+" on "+target.String())
	l, result := g.http.open(ctx, a, target)
	if l == nil {
		return result
	}
	defer l.close(ctx)
	defer l.interrupt(ctx)()
	// No Grpc-Timeout: a server that keeps it would have its word against our deadline.
	answer, missing, err := l.ask(g.http.request(ctx, target))
	if err != nil {
		return a.broken(ctx, explainHTTP(err), classOfTalk(err), missing)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		r := a.fail(checkers.ClassStatus, "status %d of HTTP%s, wanted 200", answer.StatusCode, redirection(answer))
		r.Detail = strconv.Itoa(answer.StatusCode)
		return r
	}
	reply, err := io.ReadAll(io.LimitReader(answer.Body, maxReply+1))
	switch {
	case err != nil:
		return a.broken(ctx, explainHTTP(err), checkers.ClassProtocol, "no end of the answer")
	case len(reply) > maxReply:
		return a.fail(checkers.ClassProtocol, "the answer is longer than %d bytes", maxReply)
	}
	return l.watched(g.http.secure, g.judge(a, answer, reply))
}

func (g *grpcCheck) what() string {
	if g.service == "" {
		return "the server"
	}
	return checkers.Clip(g.service, maxPath)
}

// judge judges a whole answer: its status is in the trailer, or in the header
// where there is no message.
func (g *grpcCheck) judge(a attempt, answer *http.Response, reply []byte) checkers.Result {
	text := answer.Trailer.Get("Grpc-Status")
	explanation := answer.Trailer.Get("Grpc-Message")
	if text == "" {
		text, explanation = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
	}
	number, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return a.fail(checkers.ClassProtocol, "the answer has no status of gRPC: the server does not speak it here")
	}
	if code := codes.Code(number); code != codes.OK {
		return a.fail(checkers.ClassStatus, "%s", refusal(code, explanation))
	}
	var status health.HealthCheckResponse
	if message, ok := onlyMessage(reply); !ok || proto.Unmarshal(message, &status) != nil {
		return a.fail(checkers.ClassProtocol, "the answer is no health status (%d bytes)", len(reply))
	}
	if status.GetStatus() != health.HealthCheckResponse_SERVING {
		return a.fail(checkers.ClassStatus, "%s", status.GetStatus())
	}
	return a.pass("%s", status.GetStatus())
}

// refusal puts a status that is not OK in words.
func refusal(code codes.Code, explanation string) string {
	if code == codes.NotFound {
		return "the server knows no such service"
	}
	if code == codes.Unimplemented {
		return "the server has no health service (grpc.health.v1)"
	}
	return fmt.Sprintf("status %s: %s", code, explanation)
}

// onlyMessage takes the frame off the one message of a reply.
func onlyMessage(reply []byte) ([]byte, bool) {
	const frame = 5 // a flag of compression, and the length
	if len(reply) < frame || reply[0] != 0 || uint64(binary.BigEndian.Uint32(reply[1:])) != uint64(len(reply)-frame) {
		return nil, false
	}
	return reply[frame:], true
}
