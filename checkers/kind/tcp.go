// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// tcp passes when the real server accepts a connection. It sends nothing and
// takes the connection down with a reset.
type tcp struct {
	dial dialFunc
}

func newTCP(env Env, _ *options) checkers.Checker {
	return &tcp{dial: env.Dialer.Dial}
}

// Check implements Checker.
func (t *tcp) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "connect "+target.String())
	conn, err := t.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	result := a.pass("connected")
	abort(conn)
	return result
}
