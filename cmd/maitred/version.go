// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: does(func(context.Context, []string) error {
			_, err := fmt.Fprintln(a.Stdout, versionText())
			return err
		}),
	}
}

func versionText() string {
	return fmt.Sprintf("maitred %s (%s, %s/%s)", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version is set by the linker: see the Makefile.
var version string

// buildVersion is the version that the Makefile gave, else what the go command
// noted in this binary: the module's version.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
