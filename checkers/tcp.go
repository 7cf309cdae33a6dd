// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"net/netip"
)

// tcp passes when the real server accepts a connection. It sends nothing and
// takes the connection down with a reset.
type tcp struct {
	dial dialFunc
}

func newTCP(dial dialFunc, values map[string]any) (Checker, error) {
	if err := newOptions(values).err(); err != nil {
		return nil, err
	}
	return &tcp{dial: dial}, nil
}

// Check implements Checker.
func (t *tcp) Check(ctx context.Context, target netip.AddrPort) Result {
	a := newAttempt(ctx, "connect "+target.String())
	conn, err := t.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	result := a.pass("connected")
	abort(conn)
	return result
}
