// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/beevik/ntp"

	"github.com/maitred-lb/maitred/checkers"
)

// ntpCheck passes when the real server tells the time (RFC 5905), says that it
// knows it, and is not further from the director's clock than is allowed: that
// clock has to be right itself.
type ntpCheck struct {
	dial     dialFunc
	stratum  int
	degraded time.Duration // zero: never
	fail     time.Duration // zero: never
}

func ntpOptions() []Option {
	return []Option{
		{Name: "stratum", Form: FormNumber, Default: "15", Doc: "How far the server may be from a clock of reference: 1 to 15."},
		{Name: "degraded_offset", Form: FormDuration, Doc: "How far its time may be from the director's, to be more than degraded: 50ms."},
		{Name: "offset", Form: FormDuration, Doc: "How far its time may be from the director's at all: 1s."},
	}
}

func newNTP(env Env, o *options) checkers.Checker {
	n := &ntpCheck{
		dial: env.Dialer.DialUDP, stratum: o.number("stratum", 15, 1, 15),
		degraded: o.duration("degraded_offset", 0, time.Microsecond, time.Hour), fail: o.duration("offset", 0, time.Microsecond, 24*time.Hour),
	}
	if n.fail > 0 && n.degraded >= n.fail {
		o.reject([]string{"degraded_offset"}, "%v is not below the offset of %v", n.degraded, n.fail)
	}
	return n
}

// Check implements Checker.
func (n *ntpCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "ntp "+target.String())
	conn, err := n.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	hearErrors(conn)
	defer interrupt(ctx, conn)()
	link := &capped{Conn: conn, left: maxTalk}
	answer, err := ntp.QueryWithOptions(target.String(), ntp.QueryOptions{
		Dialer: func(_, _ string) (net.Conn, error) { return link, nil },
	})
	if err != nil {
		class := checkers.ClassUnreachable
		if link.err == nil {
			class = checkers.ClassProtocol // an answer came, and the library did not like it
		}
		return a.broken(ctx, link.cause(err), class, "no answer")
	}
	a.step("stratum %d, offset %v, delay %v", answer.Stratum, answer.ClockOffset, answer.RTT)
	return n.judge(a, answer)
}

func (n *ntpCheck) judge(a attempt, answer *ntp.Response) checkers.Result {
	offset := answer.ClockOffset.Abs()
	err := answer.Validate()
	switch {
	case answer.IsKissOfDeath():
		return a.fail(checkers.ClassStatus, "the server turns us away: %s", answer.KissCode)
	case errors.Is(err, ntp.ErrInvalidLeapSecond), answer.Stratum == 0 || answer.Stratum > 15:
		return a.fail(checkers.ClassStatus, "the server does not know the time")
	case err != nil:
		return a.fail(checkers.ClassContent, "%v", err)
	case int(answer.Stratum) > n.stratum:
		return a.fail(checkers.ClassContent, "stratum %d, %d at most is wanted", answer.Stratum, n.stratum)
	case n.fail > 0 && offset > n.fail:
		return a.fail(checkers.ClassContent, "%v from the director's clock, %v at most is wanted", answer.ClockOffset, n.fail)
	case n.degraded > 0 && offset > n.degraded:
		return a.degraded(0, "%v from the director's clock, %v is wanted", answer.ClockOffset, n.degraded)
	}
	return a.pass("stratum %d, %v from the director's clock", answer.Stratum, answer.ClockOffset)
}
