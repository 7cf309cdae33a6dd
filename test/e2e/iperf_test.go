// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

// iperf is a client of iperf3.
type iperf struct {
	cmd    *netlab.Command
	out    bytes.Buffer
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once ended is closed
}

func startIperf(from netlab.Host, args ...string) (*iperf, error) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	i := &iperf{cmd: from.Command(ctx, "iperf3", append(args, "--json")...), cancel: cancel, ended: make(chan struct{})}
	i.cmd.Stdout = &i.out
	if err := i.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(i.ended)
		i.err = i.cmd.Wait()
	}()
	return i, nil
}

// result is what iperf3 says of the whole run.
func (i *iperf) result() error {
	<-i.ended
	var r struct {
		Error string
		End   struct {
			SumReceived struct{ Bytes, Seconds float64 } `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(i.out.Bytes(), &r); err != nil {
		return fmt.Errorf("read what iperf3 says: %w: %s", errors.Join(err, i.err), i.out.Bytes())
	}
	if r.Error != "" || r.End.SumReceived.Bytes == 0 {
		return fmt.Errorf("iperf3 after %.0f bytes: %w", r.End.SumReceived.Bytes, errors.Join(errors.New(r.Error), i.err))
	}
	return i.err
}

func (i *iperf) close() {
	i.cancel()
	<-i.ended
}

// cmdIperf runs a client from one address of the crowd, so that a director who
// goes by the address takes all connections of a run to one server.
func cmdIperf(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: iperf NAME start ADDRESS PORT SECONDS, iperf NAME done"
	s := stageOf(ts)
	if len(args) < 2 {
		ts.Fatalf(usage)
	}
	i := s.iperfs[args[0]]
	switch {
	case args[1] == "start" && len(args) == 5:
		from := addressOf(s.lab.Crowd4, len(s.iperfs))
		i, err := startIperf(s.lab.Client, "--client", args[2], "--port", args[3], "--time", args[4],
			"--bind", from.String(), "--parallel", "4", "--bitrate", "5M")
		ts.Check(err)
		s.iperfs[args[0]] = i
	case args[1] == "done" && i != nil:
		ts.Check(i.result())
	default:
		ts.Fatalf(usage)
	}
}

// cmdResets wants so many open connections of the client, and of the servers, to
// have been cut off.
func cmdResets(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: resets N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := stageOf(ts)
	counts, got := map[string]int{}, 0
	for name, host := range s.hosts() {
		n, err := host.Resets()
		ts.Check(err)
		counts[name] = n
		got += n
	}
	if got != want {
		ts.Fatalf("%d connections were reset, want %d: %v", got, want, counts)
	}
}

// hosts are the client and the servers.
func (s *stage) hosts() map[string]netlab.Host {
	hosts := map[string]netlab.Host{"client": s.lab.Client}
	for _, r := range s.servers {
		hosts[r.name] = r.host
	}
	return hosts
}
