// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

func cmdLab(ts *testscript.TestScript, _ bool, args []string) {
	s := stageOf(ts)
	lab, err := netlab.NewDirector(labOptions(ts, args))
	ts.Check(err)
	s.lab = lab
	if ts.Getenv("ATTACH") == "xdp" {
		ts.Check(sumBySoftware(lab))
	}
	for i, host := range lab.Servers {
		r := newRealServer(string(rune('a'+i)), host, lab)
		s.servers = append(s.servers, r)
		ts.Check(r.start())
		ts.Setenv(strings.ToUpper(r.name)+"4", host.IPv4.String())
		ts.Setenv(strings.ToUpper(r.name)+"6", host.IPv6.String())
	}
	for name, value := range map[string]string{
		"VIP4": lab.VIP4.String(), "VIP6": lab.VIP6.String(), "PIN": s.pin,
		"DIRECTOR4": lab.Director.IPv4.String(), "DIRECTOR6": lab.Director.IPv6.String(),
	} {
		ts.Setenv(name, value)
	}
}

// sumBySoftware has senders put whole checksums into packets, as they come from
// a wire. A veth hands on what its sender has left to the transmitter, and XDP
// sends that out as it is.
func sumBySoftware(lab *netlab.Lab) error {
	err := lab.Client.TxChecksum("eth0", false)
	for _, server := range lab.Servers {
		err = errors.Join(err, server.TxChecksum("eth0", false))
	}
	return err
}

func labOptions(ts *testscript.TestScript, args []string) netlab.Options {
	const usage = "usage: lab nat|dr|tun|gue|fullnat [servers=N] [narrow=MTU] [one-armed]"
	methods := map[string]netlab.Options{
		"nat": {Method: netlab.NAT}, "dr": {Method: netlab.DR}, "fullnat": {Method: netlab.FullNAT},
		"tun": {Method: netlab.TUN}, "gue": {Method: netlab.TUN, Tunnel: netlab.GUE},
	}
	if len(args) == 0 {
		ts.Fatalf(usage)
	}
	o, ok := methods[args[0]]
	if !ok {
		ts.Fatalf(usage)
	}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		number, err := strconv.Atoi(value)
		switch {
		case key == "servers" && err == nil && number <= 26:
			o.Servers = number
		case key == "narrow" && err == nil:
			o.Narrow = number
		case arg == "one-armed":
			o.OneArmed = true
		default:
			ts.Fatalf(usage)
		}
	}
	return o
}

// fixedNames are the variables that every story has.
func fixedNames() []string {
	return []string{"ENGINE", "ATTACH", "VIP4", "VIP6", "DIRECTOR4", "DIRECTOR6", "PIN", "WORK"}
}

// serverNames are the variables with the addresses of servers.
func serverNames(servers int) []string {
	var names []string
	for i := range servers {
		names = append(names, fmt.Sprintf("%c4", 'A'+i), fmt.Sprintf("%c6", 'A'+i))
	}
	return names
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

func cmdDirector(ts *testscript.TestScript, neg bool, args []string) {
	runIn(ts, neg, stageOf(ts).lab.Director, args)
}

func cmdClient(ts *testscript.TestScript, neg bool, args []string) {
	runIn(ts, neg, stageOf(ts).lab.Client, args)
}

// cmdWithin runs a program in a host, which must be done in time.
func cmdWithin(ts *testscript.TestScript, neg bool, args []string) {
	hosts := map[string]func(*testscript.TestScript, bool, []string){"director": cmdDirector, "client": cmdClient}
	if len(args) < 3 || hosts[args[1]] == nil {
		ts.Fatalf("usage: within TIME director|client COMMAND")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	began := time.Now()
	hosts[args[1]](ts, neg, args[2:])
	if took := time.Since(began); took > limit {
		ts.Fatalf("it took %v, want %v at most", took, limit)
	}
}

// runIn runs a program in a host. "maitred" is the one under test, with the
// story's configuration.
func runIn(ts *testscript.TestScript, neg bool, host netlab.Host, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: director|client COMMAND")
	}
	if args[0] == "maitred" {
		args = append([]string{stageOf(ts).bin, "--config", ts.MkAbs("maitred.yaml")}, args[1:]...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := host.Command(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = storyEnv(ts), ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	err := cmd.Run()
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}
