// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/daemon"
	"github.com/maitred-lb/maitred/test/kernel"
)

// TestStories plays the stories of testdata/stories: each is a script of what
// an operator, the real servers and the clients do, and of what must come of it.
//
// The commands, besides those of testscript; servers are called a, b, c and so on:
//
//	lab nat|dr|tun|gue|fullnat [servers=N] [narrow=MTU] [one-armed]
//	                                builds the network and starts the real servers
//	daemon start|kill|stop|reload   in the director, with $WORK/maitred.yaml
//	await TIME service NAME MODE    waits until the daemon says so; TIME may be
//	                                "budget", the service's detection budget
//	await TIME server NAME VERDICT
//	await TIME attached DEV yes|no
//	await TIME event TEXT           waits for an event whose JSON has the text
//	server NAME sick|well           the health page turns; the server keeps serving
//	server NAME stop|start          its listener and its connections are closed
//	server NAME unplug|plug         its link is cut
//	server NAME forgets|knows       the service addresses, on its loopback
//	server NAME iperf PORT          runs iperf3
//	server NAME secure              serves by HTTPS as well: see secure files
//	flip N SERVICE                  all health pages turn bad and good, N times each
//	visit NAME start|mark|stop      visitors with new connections; see visitors
//	hold NAME open|reads|reset      a connection that stays open
//	crowd NAME open|reads|...       many of those, each from an address of its own; see crowd
//	download NAME start|goes|done   of bytes that are known; see download
//	upload ADDRESS SIZE             of bytes that the server takes the sum of
//	ask ADDRESS N                   N datagrams, each from a port of its own
//	echo ADDRESS SIZE N             the same of a size, which come back whole
//	talk NAME start|survives        datagrams from one port; see talk
//	iperf NAME start|done           a client of iperf3
//	rush ADDRESS N LEAST MOST       N new connections, LEAST to MOST per cent turned away
//	secure files                    makes shop.pem and shop.key, the lab's certificate
//	secure ask ADDRESS http/1.1|h2  prints what a client gets by HTTPS
//	secure kill sorry-server        kills the director's own
//	flood N ADDRESS syn|ack         N packets from addresses where nobody is
//	resets N                        so many connections were reset for the client, no more
//	pmtu ADDRESS                    prints what the client knows of its way there
//	link add|delete DEV             a further interface of the director
//	probes SERVER COUNT TIME        counts the probes that a server gets
//	director|client COMMAND         runs a program in that host
//	within TIME director|client COMMAND
func TestStories(t *testing.T) {
	kernel.RequireBPF(t)
	bin := daemon.Program(t)
	all, err := stories()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, p := range s.plays {
			t.Run(s.name()+"/"+p.name, func(t *testing.T) {
				p.possible(t)
				if !s.alone && !testing.Short() { // which an emulated machine is
					t.Parallel()
				}
				testscript.RunT(stageHand{t}, s.script(t, bin, p))
			})
		}
	}
}

func (s story) script(t *testing.T, bin string, p play) testscript.Params {
	return testscript.Params{
		Files: []string{s.file},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"lab": cmdLab, "link": cmdLink, "director": cmdDirector, "client": cmdClient, "within": cmdWithin,
			"daemon": cmdDaemon, "await": cmdAwait,
			"server": cmdServer, "flip": cmdFlip, "probes": cmdProbes,
			"visit": cmdVisit, "hold": cmdHold, "crowd": cmdCrowd,
			"download": cmdDownload, "upload": cmdUpload, "iperf": cmdIperf,
			"rush": cmdRush, "ask": cmdAsk, "echo": cmdEcho, "talk": cmdTalk,
			"secure": cmdSecure, "flood": cmdFlood, "resets": cmdResets, "pmtu": cmdPMTU,
		},
		Condition: p.holds,
		Setup: func(env *testscript.Env) error {
			stage := newStage(t, bin, env.WorkDir)
			env.Values[stageKey{}] = stage
			env.Setenv("ENGINE", p.engine)
			env.Setenv("ATTACH", p.attach)
			for name, value := range sizes() {
				env.Setenv(name, value)
			}
			env.Defer(stage.close)
			return nil
		},
	}
}

// sizes are how much a long transfer and a flood are; less where the machine is
// emulated.
func sizes() map[string]string {
	if testing.Short() {
		return map[string]string{"BIG": "10MB", "FLOOD": "30000", "RUSH": "300"}
	}
	return map[string]string{"BIG": "100MB", "FLOOD": "1000000", "RUSH": "20000"}
}
