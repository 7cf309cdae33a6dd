// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// finding is what the doctor says of one thing.
type finding struct {
	Level  level  `json:"level"`
	Check  string `json:"check"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// level is how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // it works, but not as well as it could
	levelFail level = "fail" // it does not work
)

func (a *app) doctor() *cobra.Command {
	var output string
	c := a.withSocket(&cobra.Command{
		Use:   "doctor [INTERFACE...]",
		Short: "Tell what of this machine stands in the daemon's way, and how to mend it",
		Long: `Tell what of this machine stands in the daemon's way, and how to mend it. The
interfaces are those of the configuration, if there is one, unless some are named.
Exit code 1 if anything keeps the daemon from working.`,
		RunE: does(func(ctx context.Context, args []string) error {
			cfg, err := a.doctorConfig()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				cfg.Director.Interfaces = args
			}
			return a.printFindings(output, examine(a.thisHost(ctx), cfg))
		}),
	})
	c.ValidArgsFunction = completeInterface
	c.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	return c
}

// doctorConfig is the configuration, or what an empty one would ask for where
// there is none.
func (a *app) doctorConfig() (*config.Config, error) {
	file := a.configFile()
	if a.configFlag != "" {
		return a.loadConfig(file)
	}
	cfg, err := config.Load(file)
	if err == nil {
		return cfg, nil
	}
	problem := "has mistakes (maitred validate tells them)"
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		problem = "is not there"
	}
	complain(a.Env, "maitred: %s %s: only the machine is examined\n", file, problem)
	a.told = true
	return &config.Config{Director: config.Director{
		Forwarding: config.ForwardingAuto, PinPath: "/sys/fs/bpf/maitred",
		Connections: config.Connections{Memory: 64 << 20},
	}}, nil
}

func (a *app) printFindings(output string, findings []finding) error {
	switch output {
	case "json":
		if err := printJSON(a.Stdout, findings); err != nil {
			return err
		}
	case "table":
		if _, err := fmt.Fprint(a.Stdout, a.findingsText(findings)); err != nil {
			return err
		}
	default:
		return badOutput(output, "table", "json")
	}
	if slices.ContainsFunc(findings, func(f finding) bool { return f.Level == levelFail }) {
		return errors.New("this machine cannot run the daemon as it is: mend what failed")
	}
	return nil
}

func (a *app) findingsText(findings []finding) string {
	var b strings.Builder
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	for _, f := range findings {
		gap := strings.Repeat(" ", 4-len(f.Level))
		fmt.Fprintf(&b, "%s%s  %-*s  %s\n", a.paint(string(f.Level)), gap, width, f.Check, f.Found)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "      %-*s  -> %s\n", width, "", f.Remedy)
		}
	}
	return b.String()
}
