// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/checkers"
)

// What is said on the socket of a process: it tells everybody who connects that
// it serves, and ends when it is told to.
const (
	sayServing = 's'
	sayEnd     = 'e'
)

// answerTime is how long either end of that socket waits for the other.
const answerTime = time.Second

// control answers on the socket of a process until l is closed. It calls end when
// somebody asks for the end.
func control(l net.Listener, end func()) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // for want of descriptors
			time.Sleep(answerTime / 10)
			continue
		}
		if reply(c) {
			end()
		}
	}
}

// reply tells whether the end is asked for.
func reply(c net.Conn) bool {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(answerTime)) // what is read tells
	if _, err := c.Write([]byte{sayServing}); err != nil {
		return false
	}
	var word [1]byte
	_, err := io.ReadFull(c, word[:])
	return err == nil && word[0] == sayEnd
}

// watchPeriod is how often a process looks whether its socket is still its own.
const watchPeriod = 2 * time.Second

// watch calls end when the file behind a descriptor has no name any more: nobody can
// reach this process, and nobody will tell it to end.
func watch(ctx context.Context, place int, end func()) {
	for wait(ctx, watchPeriod) {
		var is unix.Stat_t
		if err := unix.Fstat(place, &is); err == nil && is.Nlink == 0 {
			end()
		}
	}
}

// call connects to the socket of a process that serves.
func call(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline) // what is read tells
	var word [1]byte
	if _, err := io.ReadFull(c, word[:]); err != nil || word[0] != sayServing {
		return nil, errors.Join(fmt.Errorf("ask %s: no answer: %w", socket, err), c.Close())
	}
	return c, nil
}

// Check is the health check of the process behind a socket: a checkers.Checker
// whose target means nothing.
type Check struct{ Socket string }

// Check implements checkers.Checker.
func (k Check) Check(ctx context.Context, _ netip.AddrPort) checkers.Result {
	begin := time.Now()
	c, err := call(ctx, k.Socket)
	rtt := time.Since(begin)
	switch {
	case err == nil:
		_ = c.Close() // it has said what we want to know
		return checkers.Result{Outcome: checkers.OutcomePass, RTT: rtt, Message: "the sorry server serves"}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return failed(checkers.ClassRefused, rtt, "the sorry server is not there")
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, fs.ErrPermission):
		return checkers.Result{Outcome: checkers.OutcomeUnknown, Class: checkers.ClassLocal, RTT: rtt, Message: shortened(err)}
	}
	return failed(checkers.ClassTimeout, rtt, shortened(err))
}

func failed(class checkers.Class, rtt time.Duration, message string) checkers.Result {
	return checkers.Result{Outcome: checkers.OutcomeFail, Class: class, RTT: rtt, Message: message}
}

func shortened(err error) string {
	text := err.Error()
	return text[:min(len(text), checkers.MaxMessage)]
}
