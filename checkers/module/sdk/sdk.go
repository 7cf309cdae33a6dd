// SPDX-License-Identifier: Apache-2.0

// Package sdk makes a coprocess of a function: a check in a program of its own. It
// must not know what the function asks of a real server.
package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/checkers/module"
)

// Call is what is to be checked.
type Call struct {
	Target netip.AddrPort // of the real server
	Args   map[string]string
}

// Result is what the function found. State must be given.
type Result struct {
	State   module.State
	Weight  int    // percent of its weight that the server should have, 1 to 1000; zero: no say
	Hint    string // drain, maint or nothing
	Message string // for people, at most 240 bytes
}

// Check is a check. ctx ends when the daemon has no use for the result any more.
type Check func(ctx context.Context, call Call) Result

// Pass is a result.
func Pass(format string, args ...any) Result {
	return Result{State: module.StatePass, Message: fmt.Sprintf(format, args...)}
}

// Fail is a result.
func Fail(format string, args ...any) Result {
	return Result{State: module.StateFail, Message: fmt.Sprintf(format, args...)}
}

// Serve answers calls at standard input and output, until the daemon has gone. What
// else is to be printed goes to standard error. Name is for people; parallel is how
// many calls are made at a time, zero: as many as come.
func Serve(name string, parallel int, check Check) error {
	return serve(os.Stdin, os.Stdout, name, parallel, check)
}

func serve(in io.Reader, out io.Writer, name string, parallel int, check Check) (err error) {
	frames, writer := module.NewReader(in), module.NewWriter(out)
	defer func() { err = errors.Join(err, writer.Close()) }()
	var calls sync.WaitGroup
	defer calls.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		var c module.Call
		switch err := frames.Get(&c); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read a call: %w", err)
		}
		if c.Op == module.OpHello {
			hello := module.Reply{Op: module.OpHello, Version: module.Version, Name: name, Parallel: parallel}
			if err := writer.Put(hello); err != nil {
				return err
			}
			continue
		}
		call, err := read(c)
		if err != nil {
			return err
		}
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, time.Duration(c.DeadlineMS)*time.Millisecond)
			defer cancel()
			r := check(ctx, call)
			// An error shows at the next read as well: the daemon has gone.
			_ = writer.Put(module.Reply{ID: c.ID, State: r.State, Weight: r.Weight, Hint: r.Hint, Message: r.Message})
		})
	}
}

func read(c module.Call) (Call, error) {
	addr, err := netip.ParseAddr(c.Address)
	if err != nil {
		return Call{}, fmt.Errorf("read the address of a call: %w", err)
	}
	call := Call{Target: netip.AddrPortFrom(addr, c.Port), Args: map[string]string{}}
	if len(c.Args) > 0 {
		if err := json.Unmarshal(c.Args, &call.Args); err != nil {
			return Call{}, fmt.Errorf("read the settings of a call: %w", err)
		}
	}
	return call, nil
}
