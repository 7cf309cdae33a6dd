// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// capability is a right of a process, by the number that capabilities(7) gives.
type capability struct {
	number int
	name   string
	why    string
}

// needed are the capabilities of the daemon.
func needed() []capability {
	return []capability{
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "to change IPVS, addresses and programs on interfaces"},
		{unix.CAP_BPF, "CAP_BPF", "to load the sorry engine"},
		{unix.CAP_PERFMON, "CAP_PERFMON", "to have its pointers verified"},
		{unix.CAP_NET_RAW, "CAP_NET_RAW", "to announce addresses"},
	}
}

// neededForTLS are those that the daemon needs besides to run the sorry server.
func neededForTLS() []capability {
	return []capability{
		{unix.CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", "to listen below port 1024"},
		{unix.CAP_SETUID, "CAP_SETUID", "to run it as another user"},
		{unix.CAP_SETGID, "CAP_SETGID", "for the same"},
		{unix.CAP_KILL, "CAP_KILL", "to end it"},
	}
}

// effective is the set of capabilities that this process has in effect.
func effective() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("ask for capabilities: %w", err)
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective), nil
}

// missing lists the capabilities of those given that are not in the set.
// CAP_SYS_ADMIN includes what was once part of it: capabilities(7).
func missing(set uint64, all []capability) []capability {
	has := func(number int) bool { return set&(1<<number) != 0 }
	var out []capability
	for _, c := range all {
		once := c.number == unix.CAP_BPF || c.number == unix.CAP_PERFMON
		if !has(c.number) && !(once && has(unix.CAP_SYS_ADMIN)) {
			out = append(out, c)
		}
	}
	return out
}

// lacking names what is missing of the capabilities given, and what for.
func lacking(set uint64, all []capability) string {
	var out []string
	for _, c := range missing(set, all) {
		out = append(out, c.name+" "+c.why)
	}
	return strings.Join(out, ", ")
}

// mayRun returns an error that names the capabilities which the daemon lacks.
func mayRun(set uint64) error {
	if names := lacking(set, needed()); names != "" {
		return fmt.Errorf("the daemon needs %s: run it as root, or give it AmbientCapabilities= in its systemd unit", names)
	}
	return nil
}
