// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

// cmdAsk sends datagrams and prints what comes back.
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: ask ADDRESS N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for range n {
		answer, err := exchange(stageOf(ts).lab.Client, args[0], []byte("who"))
		if err != nil {
			_, _ = fmt.Fprintln(ts.Stderr(), err)
		}
		if (err != nil) != neg {
			ts.Fatalf("ask %s: %q, %v", args[0], answer, err)
		}
		_, _ = fmt.Fprintf(ts.Stdout(), "%s\n", answer)
	}
}

// cmdEcho sends datagrams that must come back as they are.
func cmdEcho(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: echo ADDRESS SIZE N")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	question, err := io.ReadAll(content(size(ts, args[1])))
	ts.Check(err)
	for range n {
		answer, err := exchange(stageOf(ts).lab.Client, args[0], question)
		ts.Check(err)
		if !bytes.Equal(answer, question) {
			ts.Fatalf("echo %s: sent %s, got %s", args[0], sum(question), sum(answer))
		}
	}
}

// exchange sends a datagram from a new port and returns the answer.
func exchange(from netlab.Host, address string, question []byte) ([]byte, error) {
	c, err := from.DialContext(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, 1<<16)
	n, err := c.Read(answer)
	return answer[:n], err
}

// talk asks again and again from one port, and knows the longest silence.
type talk struct {
	conn net.Conn
	wg   sync.WaitGroup

	mu   sync.Mutex
	last time.Time     // an answer came
	gap  time.Duration // the longest between two
	who  string        // answered last
}

func startTalk(from netlab.Host, address string) (*talk, error) {
	conn, err := from.DialContext(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	t := &talk{conn: conn}
	t.wg.Go(func() {
		for {
			if _, err := conn.Write([]byte("who")); err != nil && !refused(err) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.wg.Go(t.listen)
	return t, nil
}

// refused is an ICMP message that came for an earlier datagram.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && errors.Is(op.Err, syscall.ECONNREFUSED)
}

func (t *talk) listen() {
	b := make([]byte, 100)
	for {
		n, err := t.conn.Read(b)
		if err != nil && !refused(err) {
			return
		}
		if err == nil {
			t.heard(string(b[:n]))
		}
	}
}

func (t *talk) heard(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() {
		t.gap = max(t.gap, now.Sub(t.last))
	}
	t.last, t.who = now, who
}

func (t *talk) close() {
	_ = t.conn.Close()
	t.wg.Wait()
}

// silence is the longest since the last time it was asked for, the present one
// included.
func (t *talk) silence() (time.Duration, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	gap := max(t.gap, time.Since(t.last))
	t.gap = 0
	return gap, t.who
}

func (t *talk) await(ts *testscript.TestScript, done func() bool) {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		t.mu.Lock()
		ok := done()
		t.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no answer came for %v", patience)
		}
	}
}

// cmdTalk begins one and waits for the first answer, or cuts the link of the
// server that answers, and wants another to answer before the budget of the
// service, and what is granted on top, is over.
func cmdTalk(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: talk NAME start ADDRESS, talk NAME survives SERVICE"
	s := stageOf(ts)
	if len(args) != 3 {
		ts.Fatalf(usage)
	}
	t := s.talks[args[0]]
	switch {
	case args[1] == "start":
		t, err := startTalk(s.lab.Client, args[2])
		ts.Check(err)
		s.talks[args[0]] = t
		t.await(ts, func() bool { return t.who != "" })
	case args[1] == "survives" && t != nil:
		limit := s.budget(ts, args[2]) + granted()
		_, first := t.silence()
		ts.Check(s.server(ts, first).unplug())
		t.await(ts, func() bool { return t.who != first })
		gap, second := t.silence()
		_, _ = fmt.Fprintf(ts.Stdout(), "%s answered, then after %v %s\n", first, gap.Round(time.Millisecond), second)
		if gap > limit {
			ts.Fatalf("no answer for %v, want at most %v", gap, limit)
		}
	default:
		ts.Fatalf(usage)
	}
}
