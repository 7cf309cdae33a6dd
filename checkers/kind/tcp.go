// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// tcp passes when the real server accepts a connection. Without a script it
// sends nothing and takes the connection down with a reset.
type tcp struct {
	dial   dialFunc
	script *script // nil: there is none
}

func newTCP(env Env, o *options) checkers.Checker {
	return &tcp{dial: env.Dialer.Dial, script: readScript(o)}
}

// Check implements Checker.
func (t *tcp) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "connect "+target.String())
	conn, err := t.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	if t.script != nil {
		return t.script.run(ctx, a, conn, target)
	}
	result := a.pass("connected")
	abort(conn)
	return result
}
