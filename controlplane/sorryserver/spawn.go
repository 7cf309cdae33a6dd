// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readyTime is how long a process has to begin.
const readyTime = 10 * time.Second

// process is one that was started and said that it serves.
type process struct {
	cmd    *exec.Cmd
	says   *os.File      // what it complains of; its end is the process's
	ended  chan struct{} // closed with it
	silent chan struct{} // closed when it is not listened to any more
	begun  time.Time
}

// spawn starts a process with a plan, and waits until it serves.
func spawn(ctx context.Context, command []string, p plan, files []*os.File, log *slog.Logger) (*process, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = ready.Close() }()
	says, saysEnd, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, readyEnd.Close())
	}
	in, err := scratch(text)
	if err != nil {
		return nil, errors.Join(err, readyEnd.Close(), says.Close(), saysEnd.Close())
	}
	cmd := &exec.Cmd{
		Path: command[0], Args: command, Dir: "/", Env: []string{}, Stdin: in, Stderr: saysEnd,
		ExtraFiles:  append([]*os.File{readyEnd}, files...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: nobody()},
	}
	err = startBare(cmd)
	err = errors.Join(err, readyEnd.Close(), saysEnd.Close(), in.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", command[0], err), says.Close())
	}
	proc := &process{cmd: cmd, says: says, ended: make(chan struct{}), silent: make(chan struct{}), begun: time.Now()}
	go proc.listen(log)
	if err := await(ctx, ready); err != nil {
		return nil, errors.Join(err, proc.kill())
	}
	return proc, nil
}

// scratch is a file without a name that holds text, from its beginning: it may be
// more than a pipe takes in.
func scratch(text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("sorry-server", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make room for the plan: %w", err)
	}
	file := os.NewFile(uintptr(fd), "plan")
	if _, err := io.Copy(file, bytes.NewReader(text)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the plan: %w", err), file.Close())
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("write the plan: %w", err), file.Close())
	}
	return file, nil
}

// startBare starts a process that has no right of ours and can get none
// (Documentation/userspace-api/no_new_privs.rst). Both are of the thread that
// starts it, which ends here.
func startBare(cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			done <- fmt.Errorf("forgo new rights: %w", err)
			return
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			done <- fmt.Errorf("keep rights back: %w", err)
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// nobody is who the process runs as: the user maitred-sorry, where there is one,
// else nobody; nil: ourselves, where we may not choose.
func nobody() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"maitred-sorry", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	const overflow = 65534 // /proc/sys/kernel/overflowuid
	return &syscall.Credential{Uid: overflow, Gid: overflow}
}

// await waits for the word that a process serves.
func await(ctx context.Context, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	if err := ready.SetReadDeadline(time.Now().Add(readyTime)); err != nil {
		return fmt.Errorf("await that it serves: %w", err)
	}
	var word [1]byte
	if _, err := io.ReadFull(ready, word[:]); err != nil {
		return fmt.Errorf("it does not serve: %w", err)
	}
	return nil
}

// listen logs what a process complains of, and sees to its end.
func (p *process) listen(log *slog.Logger) {
	defer close(p.silent)
	lines := bufio.NewReader(p.says)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			log.Warn("the sorry server complains", "what", strings.TrimSpace(line))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // leave has closed it
			return
		}
	}
	_ = p.cmd.Wait() // there is no other use of its status
	close(p.ended)
}

// leave lets a process go on without us.
func (p *process) leave() {
	_ = p.says.Close()
	<-p.silent
}

// finish asks a process to end once its clients have their answers.
func (p *process) finish() { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // it may have ended

// kill ends a process at once.
func (p *process) kill() error {
	if err := p.mustEnd(); err != nil {
		return errors.Join(err, p.says.Close())
	}
	<-p.silent
	return p.says.Close()
}

// mustEnd kills a process. Another user's can't be without CAP_KILL.
func (p *process) mustEnd() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end a sorry server: %w", err)
	}
	return nil
}

// stop ends a process that we left, when its clients have their answers or ctx ends.
func (p *process) stop(ctx context.Context) error {
	p.finish()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.cmd.Wait() // there is no other use of its status
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	if err := p.mustEnd(); err != nil {
		return err // and leave it: this daemon ends
	}
	<-ended
	return nil
}
