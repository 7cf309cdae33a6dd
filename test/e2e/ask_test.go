// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

// cmdAsk sends datagrams and prints what comes back.
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: ask ADDRESS N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for range n {
		answer, err := ask(stageOf(ts).lab.Client, args[0])
		if err != nil {
			_, _ = fmt.Fprintln(ts.Stderr(), err)
		}
		if (err != nil) != neg {
			ts.Fatalf("ask %s: %q, %v", args[0], answer, err)
		}
		_, _ = fmt.Fprintln(ts.Stdout(), answer)
	}
}

func ask(from netlab.Host, address string) (string, error) {
	c, err := from.DialContext(context.Background(), "udp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("who")); err != nil {
		return "", err
	}
	answer := make([]byte, 100)
	n, err := c.Read(answer)
	return string(answer[:n]), err
}

// cmdLink adds an interface to the director, connected to nowhere but the client,
// or takes it away.
func cmdLink(ts *testscript.TestScript, _ bool, args []string) {
	lab := stageOf(ts).lab
	switch {
	case len(args) == 2 && args[0] == "add":
		end := netip.MustParsePrefix("203.0.113.1/30")
		ts.Check(netlab.Veth(
			netlab.End{In: lab.Director.Namespace, Name: args[1], Addrs: []netip.Prefix{end}},
			netlab.End{In: lab.Client.Namespace, Name: args[1] + "-peer"}, 0))
	case len(args) == 2 && args[0] == "delete":
		ts.Check(lab.Director.Delete(args[1]))
	default:
		ts.Fatalf("usage: link add|delete DEV")
	}
}
