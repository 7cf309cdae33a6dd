// SPDX-License-Identifier: Apache-2.0

// Command maitred-module-host holds a module that is a shared object. The daemon
// starts it; it is of no use by hand.
package main

import (
	"fmt"
	"os"

	"github.com/maitred-lb/maitred/checkers/module/host"
)

// The descriptors of the frames. Standard output is the module's.
const (
	fromDaemon = 3
	toDaemon   = 4
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: maitred-module-host FILE, with frames at the descriptors 3 and 4: see docs/modules.md")
		os.Exit(2)
	}
	if err := host.Run(os.Args[1], os.NewFile(fromDaemon, "from the daemon"), os.NewFile(toDaemon, "to the daemon")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
