// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"os"
)

// plan is what the host tells the machine, as JSON in planFile.
type plan struct {
	Modules  []string  // files to load, in this order
	Commands []command // to run, one after the other
	Env      []string  // of the commands
	Nonce    string    // proves that a report is /init's: the commands never see it
}

// command is one program to run.
type command struct {
	Name string // for people
	Dir  string
	Args []string
}

// report is what the machine tells the host, as JSON on its second serial port.
type report struct {
	Nonce string
	Codes []int  // exit codes, one for each command that ran
	Error string // why not all of them ran
}

const planFile = "/vmtest.json"

func newPlan(env []string) plan {
	base := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "TMPDIR=/tmp", "CI=true", "MAITRED_REQUIRE_IPVS=1",
	}
	if _, ok := os.LookupEnv("NO_COLOR"); ok {
		base = append(base, "NO_COLOR=1")
	}
	return plan{Env: append(base, env...), Nonce: rand.Text()}
}
