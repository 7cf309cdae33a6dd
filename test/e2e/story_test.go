// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/kernel"
)

// TestStories plays the stories of testdata/stories: each is a script of what
// an operator, the real servers and the clients do, and of what must come of it.
//
// The commands, besides those of testscript:
//
//	lab nat|dr|tun                  builds the network and starts real servers a and b
//	daemon start|kill|stop|reload   in the director, with $WORK/maitred.yaml
//	await TIME service NAME MODE    waits until the daemon says so; TIME may be
//	                                "budget", the service's detection budget
//	await TIME server NAME VERDICT
//	await TIME attached DEV yes|no
//	await TIME event TEXT           waits for an event whose JSON has the text
//	server NAME sick|well           the health page turns; the server keeps serving
//	server NAME stop|start          its listener and its connections are closed
//	server NAME unplug|plug         its link is cut
//	flip N SERVICE                  all health pages turn bad and good, N times each
//	visit start|stop|mark NAME      visitors with new connections; see visitors
//	hold NAME open|reads|reset      a connection that stays open
//	ask ADDRESS N                   N datagrams, each from a port of its own
//	link add|delete DEV             a further interface of the director
//	probes SERVER COUNT TIME        counts the probes that a server gets
//	director|client COMMAND         runs a program in that host
func TestStories(t *testing.T) {
	kernel.RequireBPF(t)
	bin := maitred(t)
	testscript.RunT(serial{t}, testscript.Params{
		Dir: filepath.Join("testdata", "stories"),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"lab":      cmdLab,
			"daemon":   cmdDaemon,
			"await":    cmdAwait,
			"server":   cmdServer,
			"flip":     cmdFlip,
			"visit":    cmdVisit,
			"hold":     cmdHold,
			"ask":      cmdAsk,
			"link":     cmdLink,
			"probes":   cmdProbes,
			"director": cmdDirector,
			"client":   cmdClient,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "ipvs":
				return hasIPVS()
			case "tcx":
				version, err := kernel.Version()
				return !version.Before(6, 6), err
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(env *testscript.Env) error {
			s := &stage{bin: bin, t: t, work: env.WorkDir}
			env.Values[stageKey{}] = s
			env.Defer(s.close)
			return nil
		},
	})
}

// serial plays one story at a time: each is alone on the machine, as a director
// is, and none is late because of another.
type serial struct{ *testing.T }

func (serial) Parallel() {}

func (s serial) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(serial{t}) })
}

func (serial) Verbose() bool { return testing.Verbose() }

// hasIPVS leaves stories that need IPVS to the virtual machine, where its lack is
// an error.
func hasIPVS() (bool, error) {
	has, err := kernel.HasIPVS()
	if err == nil && !has && os.Getenv("MAITRED_REQUIRE_IPVS") == "1" {
		err = errors.New("this kernel has no IPVS")
	}
	return has, err
}

// maitred finds the program under test: MAITRED in the environment, or on PATH
// as in the virtual machine, or built from this tree.
func maitred(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("MAITRED"); path != "" {
		return path
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		path, err := exec.LookPath("maitred")
		if err != nil {
			t.Fatal("neither a Go tool to build maitred with nor maitred itself is here: set MAITRED")
		}
		return path
	}
	path := filepath.Join(t.TempDir(), "maitred")
	build := exec.CommandContext(t.Context(), goTool, "build", "-o", path, "../../cmd/maitred")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build maitred: %v\n%s", err, out)
	}
	return path
}
