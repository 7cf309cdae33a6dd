// SPDX-License-Identifier: Apache-2.0

// Command maitred-module-host is the process of a module. The daemon starts it; it
// is of no use by hand.
package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/maitred-lb/maitred/checkers/module"
	"github.com/maitred-lb/maitred/checkers/module/host"
)

// The descriptors of the frames. Standard output is the module's.
const (
	fromDaemon = 3
	toDaemon   = 4
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run holds a shared object, or becomes a program, within bounds.
func run(args []string) error {
	if len(args) < 2 || args[1] == "run" && len(args) < 3 {
		return fmt.Errorf("usage: maitred-module-host BYTES FILE | BYTES run PROGRAM [ARGUMENT...]")
	}
	memory, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return fmt.Errorf("read how much memory the module may have: %w", err)
	}
	if err := module.Limit(memory); err != nil {
		return err
	}
	if args[1] == "run" {
		err := syscall.Exec(args[2], args[2:], os.Environ())
		return fmt.Errorf("run %s: %w", args[2], err)
	}
	return host.Run(args[1], os.NewFile(fromDaemon, "from the daemon"), os.NewFile(toDaemon, "to the daemon"))
}
