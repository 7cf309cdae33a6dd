// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// dumpLines is how much of bpftool's output is shown.
const dumpLines = 24

// showCounters tells what the sorry engine counted, and how to see its maps.
func (s *stage) showCounters(ctx context.Context, n *narrator) error {
	service, ok := s.service(ctx)
	if !ok {
		return errors.New("the daemon does not tell its counters")
	}
	n.say("  what the kernel did with the packets (maitred status -o wide):")
	for _, name := range slices.Sorted(maps.Keys(service.Verdicts)) {
		n.say("    %-16s %8d packets %10d bytes", name, service.Verdicts[name].Packets, service.Verdicts[name].Bytes)
	}
	args := []string{"map", "dump", "pinned", s.pins + "/services"}
	tool, err := exec.LookPath("bpftool")
	if err != nil {
		n.say("  where bpftool is installed, this shows the row of the service: bpftool %s", strings.Join(args, " "))
		return nil
	}
	n.say("  # bpftool %s", strings.Join(args, " "))
	dump, err := exec.CommandContext(ctx, tool, args...).Output()
	n.fact(err == nil && bytes.Contains(dump, []byte(`"mode"`)), "bpftool shows the fields of the row by name%s", because(err))
	lines := strings.Split(strings.TrimSpace(string(dump)), "\n")
	for _, line := range lines[:min(len(lines), dumpLines)] {
		n.say("    %s", line)
	}
	return nil
}
