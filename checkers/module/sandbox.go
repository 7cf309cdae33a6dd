// SPDX-License-Identifier: Apache-2.0

package module

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// User is who a process runs as.
type User struct{ UID, GID uint32 }

// usualUsers are who processes run as where the configuration does not say, the
// first that there is.
func usualUsers() []string { return []string{"maitred-check", "nobody"} }

// FindUser finds a user by name. Without a name it is who checks usually run as:
// nil, that is ourselves, where we may not choose.
func FindUser(name string) (*User, error) {
	if name != "" {
		return lookup(name)
	}
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range usualUsers() {
		if u, err := lookup(name); err == nil {
			return u, nil
		}
	}
	const overflow = 65534 // /proc/sys/kernel/overflowuid
	return &User{overflow, overflow}, nil
}

func lookup(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &User{uint32(uid), uint32(gid)}, errors.Join(err, err2)
}

// niceness of all children: a module that loops takes what is left.
const niceness = 10

// keeping says how a child is kept.
type keeping struct {
	user *User
	// privileges lets a program gain rights by its file, as ping does.
	privileges bool
}

// child is a process that ends when this one does.
type child struct {
	cmd    *exec.Cmd
	waited chan struct{} // closed when it has ended
	err    error         // of its end; to be read after waited is closed
}

// start starts a process in a session of its own. It has none of our rights and,
// unless that is allowed, can get none (Documentation/userspace-api/no_new_privs.rst).
//
// These are properties of the thread that starts it, and the kernel's promise to
// end it with us hangs on that very thread (PR_SET_PDEATHSIG). So it has a thread
// of its own, which ends after it. It calls then when the process has ended.
func start(cmd *exec.Cmd, k keeping, then func()) (*child, error) {
	c := &child{cmd: cmd, waited: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if k.user != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: k.user.UID, Gid: k.user.GID}
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		err := k.prepare()
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			then()
			close(c.waited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// prepare gives this thread what the child is to inherit.
func (k keeping) prepare() error {
	if !k.privileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("forgo new rights: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("keep rights back: %w", err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, niceness); err != nil && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("set the priority: %w", err) // EACCES: we are nicer than that
	}
	return nil
}

// kill ends the process and all of its group.
func (c *child) kill() {
	_ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL) // it may have ended
}

// how tells how it ended: "signal: segmentation fault".
func (c *child) how() string {
	<-c.waited
	if c.cmd.ProcessState == nil {
		return c.err.Error()
	}
	return c.cmd.ProcessState.String()
}

// environment is all that a child finds there.
func environment(more ...string) []string {
	return append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "GOTRACEBACK=none",
	}, more...)
}
