// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/tools/vmtest/initramfs"
)

// machine is a virtual machine to boot once.
type machine struct {
	kernel  string
	initrd  string
	memory  int // MiB
	kvm     bool
	console io.Writer
}

// errStopped says that the machine went down before /init could report.
var errStopped = errors.New("the machine stopped without a report (a kernel panic? see its console)")

// boot runs the machine until it stops, and returns its report.
func (m machine) boot(ctx context.Context, nonce string) (report, error) {
	port := filepath.Join(filepath.Dir(m.initrd), "report")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", m.args(port)...)
	cmd.Stdout, cmd.Stderr = m.console, m.console
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); ctx.Err() != nil {
		return report{}, fmt.Errorf("run the machine: %w", context.Cause(ctx))
	} else if err != nil {
		return report{}, fmt.Errorf("run the machine: %w", err)
	}
	return readReport(port, nonce)
}

func (m machine) args(port string) []string {
	accel := "tcg,thread=multi"
	if m.kvm {
		accel = "kvm"
	}
	return []string{
		"-accel", accel, "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(m.memory),
		"-nodefaults", "-display", "none", "-no-reboot", "-monitor", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "file,id=report,path=" + port, "-serial", "chardev:report",
		"-kernel", m.kernel, "-initrd", m.initrd,
		// A panic or an oops stops the machine at once; only those are printed.
		"-append", "console=ttyS0 loglevel=3 panic=-1 oops=panic mitigations=off random.trust_cpu=on edd=off",
	}
}

// readReport refuses one that /init did not write: it alone knows the nonce.
func readReport(port, nonce string) (report, error) {
	data, err := os.ReadFile(port)
	if err != nil {
		return report{}, fmt.Errorf("read report: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		var r report
		if json.Unmarshal([]byte(line), &r) == nil && (r.Nonce == nonce || r.Nonce == "" && r.Error != "") {
			return r, nil
		}
	}
	return report{}, errStopped
}

// runInMachine boots a machine for the command line, and returns the first
// exit code that is not zero.
func runInMachine(ctx context.Context, o options, out io.Writer) (int, error) {
	work, err := os.MkdirTemp("", "vmtest-")
	if err != nil {
		return failed, err
	}
	defer os.RemoveAll(work)
	img, err := findKernel(ctx, o.kernel)
	if err != nil {
		return failed, err
	}
	tree, p := initramfs.New(), newPlan(o.env)
	if p.Commands, err = addCommands(ctx, tree, o, work); err != nil {
		return failed, err
	}
	if p.Modules, err = addModules(tree, img.modules); err != nil {
		return failed, err
	}
	initrd := filepath.Join(work, "initrd")
	if err := pack(tree, p, o.files, initrd); err != nil {
		return failed, err
	}
	m := machine{img.vmlinuz, initrd, o.memory, o.kvm, out}
	r, err := m.boot(ctx, p.Nonce)
	if err != nil {
		return failed, err
	}
	return verdict(p, r, out)
}

// verdict prints a summary, if there is more than one command, and returns
// the exit code for all.
func verdict(p plan, r report, w io.Writer) (int, error) {
	first := 0
	for i, code := range r.Codes {
		if first == 0 {
			first = code
		}
		if len(p.Commands) > 1 {
			result := "ok    "
			if code != 0 {
				result = "FAIL  "
			}
			_, _ = fmt.Fprintf(w, "%s%s (exit code %d, in the virtual machine)\n", result, p.Commands[i].Name, code)
		}
	}
	if r.Error != "" {
		return failed, fmt.Errorf("in the machine: %s", r.Error)
	}
	if len(r.Codes) != len(p.Commands) {
		return failed, fmt.Errorf("in the machine: %d of %d commands ran", len(r.Codes), len(p.Commands))
	}
	return first, nil
}
