// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// guest is /init of the machine. It switches the machine off when done.
func guest() {
	var r report
	if err := setUp(); err != nil {
		r.Error = err.Error()
	} else if p, err := readPlan(); err != nil {
		r.Error = err.Error()
	} else {
		r.Nonce = p.Nonce
		if err := carryOut(p, &r); err != nil {
			r.Error = err.Error()
		}
	}
	if err := send(r); err != nil {
		fmt.Fprintln(os.Stderr, "init: send report:", err)
	}
	// The kernel's farewell is an emergency message: silence it.
	if err := os.WriteFile("/proc/sys/kernel/printk", []byte("0"), 0); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	panic(fmt.Sprintf("init: power off: %v", err)) // and with it the kernel
}

// setUp mounts what a Linux program expects, and makes loopback work.
func setUp() error {
	for _, m := range []struct{ kind, target string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
		{"devpts", "/dev/pts"}, {"tmpfs", "/dev/shm"},
		{"bpf", "/sys/fs/bpf"}, {"cgroup2", "/sys/fs/cgroup"}, {"tracefs", "/sys/kernel/tracing"},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := os.Chmod("/tmp", 0o777|fs.ModeSticky); err != nil {
		return fmt.Errorf("open /tmp to all: %w", err)
	}
	console, err := openPort("/dev/ttyS0")
	if err != nil {
		return err
	}
	os.Stdout, os.Stderr = console, console
	if err := unix.Sethostname([]byte("vmtest")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	limit := unix.Rlimit{Cur: 1 << 16, Max: 1 << 16}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise file limit: %w", err)
	}
	return loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// readPlan takes the plan away with it.
func readPlan() (plan, error) {
	data, err := os.ReadFile(planFile)
	if err != nil {
		return plan{}, fmt.Errorf("read plan: %w", err)
	}
	var p plan
	if err := json.Unmarshal(data, &p); err != nil {
		return plan{}, fmt.Errorf("read plan: %w", err)
	}
	return p, os.Remove(planFile)
}

func carryOut(p plan, r *report) error {
	for _, file := range p.Modules {
		if err := loadModule(file); err != nil {
			return fmt.Errorf("load %s: %w", file, err)
		}
	}
	if _, err := os.Stat("/bin/busybox"); err == nil {
		install := command{Dir: "/", Args: []string{"/bin/busybox", "--install", "-s", "/bin"}}
		if code, err := execute(install, nil); err != nil || code != 0 {
			return fmt.Errorf("install busybox: exit code %d, %w", code, err)
		}
	}
	for _, c := range p.Commands {
		if len(p.Commands) > 1 {
			fmt.Printf("=== %s\n", c.Name)
		}
		code, err := execute(c, p.Env)
		if err != nil {
			return fmt.Errorf("run %s: %w", c.Name, err)
		}
		r.Codes = append(r.Codes, code)
	}
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return os.Remove(file) // it is memory
}

// execute runs a command and, being process 1, reaps whatever else ends.
func execute(c command, env []string) (int, error) {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env = c.Dir, env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case pid == cmd.Process.Pid:
			return exitCode(syscall.WaitStatus(status)), cmd.Process.Release()
		}
	}
}

// send writes the report to the second serial port.
func send(r report) error {
	port, err := openPort("/dev/ttyS1")
	if err != nil {
		return err
	}
	defer port.Close()
	if _, err := port.WriteString("\n"); err != nil { // ends whatever a command left there
		return err
	}
	if err := json.NewEncoder(port).Encode(r); err != nil {
		return err
	}
	return errors.Join(drain(port), drain(os.Stdout))
}

// openPort opens a serial port that passes bytes through as they are.
func openPort(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	termios, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("get terminal mode of %s: %w", name, err)
	}
	termios.Oflag &^= unix.OPOST
	termios.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, termios); err != nil {
		return nil, fmt.Errorf("set terminal mode of %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// drain waits until all output is sent (tcdrain(3)).
func drain(port *os.File) error {
	return unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1)
}
