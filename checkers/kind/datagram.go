// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// maxDatagrams is how many datagrams a run looks at before it calls them a flood.
const maxDatagrams = 64

// inquiry is a question in one datagram: it is sent, and answers are read until one is taken.
type inquiry struct {
	dial   dialFunc
	signed string // what an answer lacks that was not taken
}

// put sends a datagram and hands what comes back to take, until that tells that
// it was the answer. A datagram that is none is left out, as protocols over UDP
// ask for: anybody may have sent it. The protocol repeats itself over a network
// that loses datagrams by running again.
func (q inquiry) put(ctx context.Context, a attempt, target netip.AddrPort, make func(local net.Addr) []byte, take func([]byte) (checkers.Result, bool)) checkers.Result {
	conn, err := q.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	if _, err := conn.Write(make(conn.LocalAddr())); err != nil {
		return a.unconnected(ctx, err)
	}
	a.step("sent")
	buffer, missing := new([64 << 10]byte), "no answer"
	for range maxDatagrams {
		n, err := conn.Read(buffer[:])
		if err != nil {
			return a.broken(ctx, err, checkers.ClassUnreachable, missing)
		}
		if result, taken := take(buffer[:n]); taken {
			return result
		}
		missing = q.signed
	}
	return a.fail(checkers.ClassProtocol, "the server sends datagrams without end that are no answer")
}
