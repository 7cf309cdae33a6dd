// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// The bars of the project.
const (
	barHot, barMany = 200, 350 // nanoseconds over the floor
	barVerified     = 50000    // instructions
	barMemory       = 100      // bytes for each flow
	barRatio        = 3        // packets of eBPF for one of IPVS
)

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

// say prints to where nothing can be done about a failure.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// table prints rows in columns under a title.
type table struct {
	w     *tabwriter.Writer
	notes []string
}

func newTable(w io.Writer, title string, columns ...any) *table {
	say(w, "\n%s\n%s\n\n", title, machine())
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)}
	t.row(columns...)
	return t
}

// row prints floats without decimals and anything else as it is. The first
// column is wide enough for all that is ever in it, and stands to the left.
func (t *table) row(cells ...any) {
	for i, c := range cells {
		switch x := c.(type) {
		case float64:
			say(t.w, "%.0f\t", x)
		case string:
			if i == 0 {
				x = fmt.Sprintf("%-28s", x)
			}
			say(t.w, "%v\t", x)
		default:
			say(t.w, "%v\t", x)
		}
	}
	say(t.w, "\n")
}

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) end(w io.Writer) {
	_ = t.w.Flush() // standard output
	for _, n := range t.notes {
		say(w, "%s\n", n)
	}
	say(w, "\n")
}

// machine says what all this was measured on.
func machine() string {
	var u unix.Utsname
	release := "?"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("Linux %s, %d CPUs: %s%s", release, runtime.NumCPU(), cpu(), tabBits())
}

// cpu is the model of the first CPU.
func cpu() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}

// emulated tells that the CPU is software: times tell nothing there but by their
// ratio.
func emulated() bool { return strings.Contains(cpu(), "QEMU TCG") }

// tabBits is the size of IPVS's table of connections, where it can be told.
func tabBits() string {
	bits, err := os.ReadFile("/sys/module/ip_vs/parameters/conn_tab_bits")
	if err != nil {
		return ""
	}
	return "; IPVS with conn_tab_bits=" + strings.TrimSpace(string(bits))
}
