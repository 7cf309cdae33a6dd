// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// agentCheck asks an agent on the real server, in the protocol of HAProxy's
// agent-check: it connects, may send a text, and reads one line.
type agentCheck struct {
	dial dialFunc
	send string
}

func agentOptions() []Option {
	return []Option{{Name: "send", Form: FormText, Doc: "A text that is sent before the answer is read: \"web1\\n\"."}}
}

func newAgent(env Env, o *options) checkers.Checker {
	return &agentCheck{dial: env.Dialer.Dial, send: o.text("send", "")}
}

// Check implements Checker.
func (g *agentCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	const longest = 4 << 10 // of the line
	a := newAttempt(ctx, "agent "+target.String())
	conn, err := g.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	a.step("connected")
	if g.send != "" {
		if _, err := io.WriteString(conn, g.send); err != nil {
			return a.broken(ctx, err, checkers.ClassProtocol, "connected, but the text was not taken")
		}
	}
	line, err := bufio.NewReaderSize(conn, longest).ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return a.fail(checkers.ClassProtocol, "the answer is longer than %d bytes", longest)
	case errors.Is(err, io.EOF) && len(line) > 0: // the end of the connection ends the line as well
	case errors.Is(err, io.EOF):
		return a.fail(checkers.ClassProtocol, "the agent closed the connection without a word")
	case err != nil:
		return a.broken(ctx, err, checkers.ClassProtocol, "connected, but no answer")
	}
	a.step("it says %q", strings.TrimSpace(string(line)))
	return readState(string(line)).result(a, checkers.ClassStatus)
}
