// SPDX-License-Identifier: Apache-2.0

package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"
)

// process is a module that was started and has said hello.
type process struct {
	child  *child
	frames *Reader
	writer *Writer
	files  []*os.File // our ends of the pipes
	says   *complaints
	hello  Reply
	slots  chan struct{} // one for each call that is in the module
	ended  chan struct{} // closed once it is known why
	reason string        // of the end; to be read after ended is closed

	mu     sync.Mutex
	lastID uint64
	calls  map[uint64]*inside
	blame  string // why we have killed it; empty: we have not
}

// inside is a call that is in the module.
type inside struct {
	reply     chan Reply // has room for the one reply
	timeout   time.Duration
	abandoned time.Time // when nobody waited for it any more; zero: somebody does
}

// launch starts a module and waits for its hello.
func launch(ctx context.Context, spec Spec, log *slog.Logger) (*process, error) {
	p := &process{ended: make(chan struct{}), calls: map[uint64]*inside{}}
	cmd, theirs, err := p.pipes(spec, log)
	if err == nil {
		p.child, err = start(cmd, keeping{user: spec.User}, func() {
			// Children of its own may hold the pipe open.
			_ = p.files[1].SetReadDeadline(time.Now().Add(lastWords))
		})
	}
	for _, f := range theirs {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		p.closeFiles()
		if p.child != nil {
			p.child.kill()
			<-p.child.waited
		}
		return nil, fmt.Errorf("start %s: %w", spec.Command[0], err)
	}
	p.writer = NewWriter(p.files[0])
	stop := context.AfterFunc(ctx, func() { p.kill("it did not say hello in time") })
	err = p.greet()
	stop()
	if err != nil {
		p.kill(fmt.Sprintf("it did not say hello: %v", err))
		p.end()
		return nil, errors.New(p.reason)
	}
	p.slots = make(chan struct{}, p.hello.Parallel)
	return p, nil
}

// pipes makes the pipes and the command that has their other ends.
func (p *process) pipes(spec Spec, log *slog.Logger) (cmd *exec.Cmd, theirs []*os.File, err error) {
	// In this order: to it, from it, what it prints.
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, theirs, err
		}
		if i == 0 {
			r, w = w, r
		}
		p.files, theirs = append(p.files, r), append(theirs, w)
	}
	p.frames = NewReader(p.files[1])
	p.says = listen(p.files[2], log)
	args := spec.args()
	cmd = &exec.Cmd{Path: args[0], Args: args, Dir: "/", Env: environment(), Stderr: theirs[2]}
	if spec.Object {
		cmd.Stdout, cmd.ExtraFiles = theirs[2], theirs[:2]
	} else {
		cmd.Stdin, cmd.Stdout = theirs[0], theirs[1]
	}
	return cmd, theirs, nil
}

// lastWords is how long what a process wrote before its end is read.
const lastWords = 200 * time.Millisecond

// closeFiles gives back our ends of the pipes, and waits until nobody reads what
// the module prints.
func (p *process) closeFiles() {
	for _, f := range p.files {
		_ = f.Close() // what was written is of no use to anybody now
	}
	if p.says != nil {
		<-p.says.done
	}
}

// greet exchanges hellos.
func (p *process) greet() error {
	if err := p.writer.Put(Call{Op: OpHello, Version: Version}); err != nil {
		return err
	}
	switch err := p.frames.Get(&p.hello); {
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("it ended: " + p.child.how())
	case err != nil:
		return err
	case p.hello.Op != OpHello:
		return errors.New("its first frame has no op hello")
	case p.hello.Version != Version:
		return fmt.Errorf("it speaks version %d of the protocol, and this is %d", p.hello.Version, Version)
	case p.hello.Error != "":
		return errors.New(oneLine(p.hello.Error))
	case p.hello.Parallel < 0:
		return fmt.Errorf("it wants %d calls at a time", p.hello.Parallel)
	case p.hello.Parallel == 0:
		p.hello.Parallel = DefaultParallel
	}
	p.hello.Parallel = min(p.hello.Parallel, MaxParallel)
	return nil
}

// kill ends the process, for a reason. One that has ended is left alone: its number may
// be another's by now.
func (p *process) kill(reason string) {
	select {
	case <-p.ended:
		return
	default:
	}
	p.mu.Lock()
	if p.blame == "" {
		p.blame = reason
	}
	p.mu.Unlock()
	p.child.kill()
}

// receive hands replies over until the process ends.
func (p *process) receive() {
	for {
		var r Reply
		err := p.frames.Get(&r)
		if err == nil {
			err = p.settle(r)
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
			p.kill(fmt.Sprintf("it does not speak the protocol: %v", err))
		}
		p.end()
		return
	}
}

// settle ends the call that the reply is for.
func (p *process) settle(r Reply) error {
	p.mu.Lock()
	call := p.calls[r.ID]
	delete(p.calls, r.ID)
	p.mu.Unlock()
	if call == nil {
		return fmt.Errorf("a reply to call %d, which was answered or is none", r.ID)
	}
	call.reply <- r // nobody may be there to hear it
	<-p.slots
	return nil
}

// finishTime is how long a process has to end by itself.
const finishTime = 500 * time.Millisecond

// finish ends a process that is not wanted any more: its pipe ends, and it should.
func (p *process) finish() {
	_ = p.files[0].Close() // what was not sent is not wanted any more
	timer := time.NewTimer(finishTime)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.kill("it did not end when it was told to")
		<-p.ended
	}
}

// end sees to the end of the process: all that have calls in it learn why.
func (p *process) end() {
	p.child.kill() // it may have closed its pipe only, or have left children
	<-p.child.waited
	for _, f := range p.files {
		_ = f.Close() // children of its own may hold the other ends
	}
	<-p.says.done
	_ = p.writer.Close() // its file is closed
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason = p.blame
	if p.reason == "" {
		p.reason = "it ended: " + p.child.how()
	}
	if why := p.says.why(); why != "" {
		p.reason += " (" + why + ")"
	}
	close(p.ended)
}

// call makes one call.
func (p *process) call(ctx context.Context, r request) (Reply, error) {
	select {
	case p.slots <- struct{}{}:
	case <-p.ended:
		return Reply{}, &Unavailable{"not run: the module has ended: " + p.reason}
	case <-ctx.Done():
		return Reply{}, &Unavailable{fmt.Sprintf("not run: the module is busy with %d calls, the most at a time", cap(p.slots))}
	}
	call := &inside{reply: make(chan Reply, 1), timeout: r.timeout}
	p.mu.Lock()
	p.lastID++
	id := p.lastID
	p.calls[id] = call
	p.mu.Unlock()
	if err := p.writer.Put(r.call(id)); err != nil {
		p.kill(fmt.Sprintf("it takes no calls: %v", err))
	}
	select {
	case reply := <-call.reply:
		return reply, nil
	case <-ctx.Done():
		select {
		case reply := <-call.reply: // both at once
			return reply, nil
		default:
		}
		p.mu.Lock()
		call.abandoned = time.Now()
		p.mu.Unlock()
		return Reply{}, ctx.Err()
	case <-p.ended:
		return Reply{}, &Unavailable{"the module has ended during the call: " + p.reason}
	}
}

// lost counts the calls that nobody has waited for during their own timeout once
// more: those will not come back.
func (p *process) lost(now time.Time) (lost int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range p.calls {
		if !call.abandoned.IsZero() && now.Sub(call.abandoned) > call.timeout {
			lost++
		}
	}
	return lost
}

// mostLost is how many calls may be lost before the process is killed: a quarter
// of those that it takes.
func (p *process) mostLost() int { return min(max(p.hello.Parallel/4, 1), 32) }

// inFlight is how many calls are in the module.
func (p *process) inFlight() int { return len(p.slots) }
