// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// memcached passes when a memcached server tells its version, in the text
// protocol (doc/protocol.txt of memcached), and stays within its limits.
type memcached struct {
	talker
	connections int // percent of its connections that may be open; zero: any
}

func memcachedOptions() []Option {
	return append([]Option{
		{Name: "max_connections", Form: FormNumber, Doc: "How much of its max_connections may be open, in percent. A server with more is degraded."},
	}, inTLS()...)
}

func newMemcached(env Env, o *options) checkers.Checker {
	return &memcached{
		talker:      talker{env.Dialer.Dial, readTLSFlag(o, "")},
		connections: o.number("max_connections", 0, 1, 100),
	}
}

// Check implements Checker.
func (m *memcached) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return m.with(ctx, newAttempt(ctx, "memcached "+target.String()), target, func(t *dialog) checkers.Result {
		result, err := m.judge(t)
		if err != nil {
			return t.lost(err, "no answer")
		}
		_ = t.send([]byte("quit\r\n")) // the verdict stands
		return result
	})
}

func (m *memcached) judge(t *dialog) (result checkers.Result, err error) {
	if err := t.send([]byte("version\r\n")); err != nil {
		return result, err
	}
	line, err := t.line()
	if err != nil {
		return result, err
	}
	version, ok := strings.CutPrefix(line, "VERSION ")
	if !ok {
		return result, memcachedRefusal(line)
	}
	version = checkers.Clip(version, 40)
	t.step("version %s", version)
	if m.connections == 0 {
		return t.pass("version %s", version), nil
	}
	stats, err := t.memcachedStats()
	if err != nil {
		return result, err
	}
	open, err1 := strconv.Atoi(stats["curr_connections"])
	most, err2 := strconv.Atoi(stats["max_connections"])
	if err1 != nil || err2 != nil || most <= 0 || open < 0 {
		return result, found(checkers.ClassProtocol, "the server does not tell how many connections it has, of how many")
	}
	t.step("%d of %d connections", open, most)
	if percent := open * 100 / most; percent > m.connections {
		return t.degraded(0, "version %s, but %d of %d connections are open (%d %%), wanted %d %% at most", version, open, most, percent, m.connections), nil
	}
	return t.pass("version %s, %d of %d connections", version, open, most), nil
}

// memcachedStats asks for the general statistics.
func (t *dialog) memcachedStats() (map[string]string, error) {
	const most = 1000 // lines; there are some ninety
	if err := t.send([]byte("stats\r\n")); err != nil {
		return nil, err
	}
	stats := map[string]string{}
	for range most {
		line, err := t.line()
		if err != nil || line == "END" {
			return stats, err
		}
		words := strings.SplitN(line, " ", 3)
		if len(words) < 2 || words[0] != "STAT" {
			return nil, memcachedRefusal(line)
		}
		stats[words[1]] = words[len(words)-1]
	}
	return nil, found(checkers.ClassProtocol, "the server's statistics have no end")
}

// memcachedRefusal is what an answer other than the expected shows.
func memcachedRefusal(line string) error {
	text := checkers.Clip(line, 80)
	if strings.HasPrefix(line, "ERROR") || strings.HasPrefix(line, "CLIENT_ERROR") || strings.HasPrefix(line, "SERVER_ERROR") {
		return found(checkers.ClassStatus, "%s", text)
	}
	return found(checkers.ClassProtocol, "the server does not speak memcached's text protocol: it answers %q", text)
}
