// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/maitred-lb/maitred/test/kernel"
)

// failed is the exit code for a failure of vmtest itself.
const failed = 125

func main() {
	if os.Getpid() == 1 {
		guest() // does not return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmtest:", err)
	}
	os.Exit(code)
}

// options are the command line.
type options struct {
	kernel  string
	files   list
	env     list
	timeout time.Duration
	memory  int
	kvm     bool
	auto    bool
	test    bool
	args    []string
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("vmtest", flag.ContinueOnError)
	f.StringVar(&o.kernel, "kernel", "auto", "unpacked Debian kernel package; auto takes the cached one or fetches it by apt-get")
	f.Var(&o.files, "file", "`host[:guest]` file, directory or program on PATH to copy in, with shared libraries; may repeat")
	f.Var(&o.env, "env", "`K=V` environment of the command; may repeat")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "limit for the whole run")
	f.IntVar(&o.memory, "m", 1024, "memory of the machine in MiB")
	f.BoolVar(&o.kvm, "kvm", false, "use /dev/kvm")
	f.BoolVar(&o.auto, "auto", false, "run the command on this kernel when root and it has IPVS")
	f.BoolVar(&o.test, "test", false, "the arguments are Go packages whose tests to compile and run")
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	o.args = f.Args()
	switch {
	case len(o.args) == 0:
		return options{}, errors.New("nothing to run: want a command after --")
	case o.auto && o.test:
		return options{}, errors.New("-auto does not go with -test: use go test")
	}
	return o, nil
}

// run returns the exit code for the whole. What the command prints goes to out.
func run(ctx context.Context, args []string, out io.Writer) (int, error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return failed, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done after %v", o.timeout))
	defer cancel()
	if o.auto {
		native, why := runsHere()
		fmt.Fprintln(os.Stderr, "vmtest:", why)
		if native {
			return runNative(ctx, o, out)
		}
	}
	return runInMachine(ctx, o, out)
}

// runsHere says whether this kernel does, and why.
func runsHere() (ok bool, why string) {
	if os.Geteuid() != 0 {
		return false, "not root: starting a virtual machine"
	}
	has, err := kernel.HasIPVS()
	switch {
	case err != nil:
		return false, fmt.Sprintf("%v: starting a virtual machine", err)
	case !has:
		return false, "this kernel has no IPVS: starting a virtual machine"
	}
	if err := kernel.MountBPF(); err != nil {
		return false, fmt.Sprintf("%v: starting a virtual machine", err)
	}
	return true, "this kernel has IPVS: running here"
}

func runNative(ctx context.Context, o options, out io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, o.args[0], o.args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, os.Stderr
	cmd.Env = append(os.Environ(), o.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return failed, fmt.Errorf("run %s: %w", o.args[0], context.Cause(ctx))
	case errors.As(err, &exit):
		return exitCode(exit.Sys().(syscall.WaitStatus)), nil
	case err != nil:
		return failed, fmt.Errorf("run %s: %w", o.args[0], err)
	}
	return 0, nil
}

// exitCode is that of a shell: 128 and the signal for one that was killed.
func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
