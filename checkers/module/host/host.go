// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/maitred-lb/maitred/checkers/module"
)

// Run opens the module in file and answers frames until in ends: then the daemon
// has gone, or has no use for the module any more. Calls that are in the module
// then are not waited for.
func Run(file string, in io.Reader, out io.Writer) error {
	frames := module.NewReader(in)
	var first module.Call
	if err := frames.Get(&first); err != nil {
		return fmt.Errorf("read the hello: %w", err)
	}
	writer := module.NewWriter(out)
	o, err := open(file)
	if err != nil {
		return errors.Join(writer.Put(module.Reply{Op: module.OpHello, Version: module.Version, Error: err.Error()}), writer.Close())
	}
	hello := module.Reply{Op: module.OpHello, Version: module.Version, Name: o.name, Parallel: o.parallel}
	if err := writer.Put(hello); err != nil {
		return err
	}
	s := &server{object: o, writer: writer, calls: make(chan task, o.parallel), args: map[string]*arguments{}}
	err = s.serve(frames)
	if s.idle() {
		o.close()
	}
	return err
}

// server hands calls to goroutines. One that is done takes the next.
type server struct {
	object *object
	writer *module.Writer
	calls  chan task
	args   map[string]*arguments // by their JSON: there are few, and each comes often

	mu   sync.Mutex
	busy int // goroutines in a call
	all  int // goroutines
}

type task struct {
	call module.Call
	args *arguments
}

// mostArgs bounds what is remembered of settings.
const mostArgs = 10000

func (s *server) serve(frames *module.Reader) error {
	for {
		var call module.Call
		switch err := frames.Get(&call); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read a call: %w", err)
		}
		args, err := s.arguments(call)
		if err != nil {
			return err
		}
		s.start(task{call, args})
	}
}

func (s *server) arguments(call module.Call) (*arguments, error) {
	if args, ok := s.args[string(call.Args)]; ok {
		return args, nil
	}
	args, err := newArguments(call.Args)
	if err != nil {
		return nil, err
	}
	if len(s.args) >= mostArgs {
		clear(s.args)
	}
	s.args[string(call.Args)] = args
	return args, nil
}

// start gives a call to a goroutine, a new one where all are in a call.
func (s *server) start(t task) {
	s.mu.Lock()
	s.busy++
	if s.busy > s.all {
		s.all++
		go s.work() // for the life of the process: it may never return from the module
	}
	s.mu.Unlock()
	s.calls <- t
}

func (s *server) work() {
	for t := range s.calls {
		reply := s.object.run(t.call, t.args)
		s.mu.Lock()
		s.busy--
		s.mu.Unlock()
		if s.writer.Put(reply) != nil {
			return // the daemon has gone, and so will this process
		}
	}
}

// idle tells whether no call is in the module.
func (s *server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy == 0
}
