// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// ipvsFlows is the Traffic of IPVS: its connection table in the daemon's network
// namespace, and what it counts of each server.
type ipvsFlows struct {
	path  string // of the table
	loads IPVSLoads
}

// IPVSLoads tells how many connections IPVS counts for each server of each
// service; reconcile.IPVS is one.
type IPVSLoads interface {
	Loads() (map[config.Virtual]map[netip.AddrPort]reconcile.Connections, error)
}

// ipvsTable is the table of this process's network namespace. Nobody else's would
// do: the kernel shows each its own.
const ipvsTable = "/proc/net/ip_vs_conn"

// ipvsStates are those of TCP and UDP (net/netfilter/ipvs/ip_vs_proto_tcp.c and
// ip_vs_proto_udp.c), in lower case.
func ipvsStates() []string {
	return []string{
		"none", "established", "syn_sent", "syn_recv", "fin_wait", "time_wait", "close",
		"close_wait", "last_ack", "listen", "synack", "udp",
	}
}

// States implements Traffic.
func (ipvsFlows) States() []string { return ipvsStates() }

// Flows implements Traffic.
func (t ipvsFlows) Flows(yield func(Flow) bool) error {
	f, err := os.Open(t.path)
	if err != nil {
		return fmt.Errorf("list the connections of IPVS: %w", err)
	}
	err = readIPVSFlows(f, yield)
	return errors.Join(err, f.Close())
}

// readIPVSFlows reads the table as ip_vs_conn_seq_show of
// net/netfilter/ipvs/ip_vs_conn.c prints it: a head line, then a line for each.
// Connections of other protocols, and templates of persistence, which have no
// port of a client, are passed over.
func readIPVSFlows(r io.Reader, yield func(Flow) bool) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if n == 1 || len(fields) == 0 {
			continue
		}
		flow, ours, err := parseIPVSFlow(fields)
		if err != nil {
			return fmt.Errorf("line %d of the connections of IPVS: %w", n, err)
		}
		if ours && !yield(flow) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the connections of IPVS: %w", err)
	}
	return nil
}

// parseIPVSFlow reads protocol, client, service and server, each an address and
// a port, state and seconds that are left. More fields may follow.
func parseIPVSFlow(fields []string) (f Flow, ours bool, err error) {
	const least = 9
	if len(fields) < least {
		return f, false, fmt.Errorf("%d fields, want %d at least", len(fields), least)
	}
	switch fields[0] {
	case "TCP":
		f.Virtual.Proto = config.TCP
	case "UDP":
		f.Virtual.Proto = config.UDP
	default:
		return f, false, nil
	}
	for i, into := range []*netip.AddrPort{&f.Client, &f.Virtual.Addr, &f.Server} {
		if *into, err = parseIPVSEndpoint(fields[1+2*i], fields[2+2*i]); err != nil {
			return f, false, err
		}
	}
	left, err := strconv.ParseUint(fields[8], 10, 32)
	if err != nil {
		return f, false, fmt.Errorf("%q is no number of seconds", fields[8])
	}
	f.State, f.Idle, f.Left = strings.ToLower(fields[7]), -1, time.Duration(left)*time.Second
	return f, f.Client.Port() != 0, nil
}

// parseIPVSEndpoint reads eight hex digits of IPv4, or IPv6 with all its digits;
// and four hex digits of a port.
func parseIPVSEndpoint(address, port string) (netip.AddrPort, error) {
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no port in hex", port)
	}
	if raw, err := hex.DecodeString(address); err == nil && len(raw) == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw)), uint16(number)), nil
	}
	a, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", address)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(number)), nil
}

// Load implements Traffic. A server's port of zero stands for that of each service.
func (t ipvsFlows) Load(cfg *config.Config) (Load, error) {
	loads, err := t.loads.Loads()
	if err != nil {
		return Load{}, err
	}
	out := Load{Servers: map[state.ServerID]api.Traffic{}, Services: map[config.Virtual]int{}, Opened: map[config.Virtual]uint64{}}
	out.Open, out.OpenOf = map[state.ServerID]int{}, map[config.Virtual]int{}
	for _, service := range cfg.Services {
		for _, part := range service.ByPool() {
			pool, _ := cfg.Pool(part.Pool)
			for _, v := range part.Virtuals() {
				for _, server := range pool.Serving(part) {
					counts := loads[v][ipvsEnd(server, v)]
					id := state.ServerID{Pool: pool.Name, Name: server.Name}
					out.Servers[id] = added(out.Servers[id], counts)
					out.Services[v] += counts.Active
					out.Open[id] += counts.Active
					out.OpenOf[v] += counts.Active
					out.Opened[v] += counts.Total
				}
			}
		}
	}
	return out, nil
}

// ipvsEnd is where IPVS has a server: this machine at the service's own address.
func ipvsEnd(server config.Server, v config.Virtual) netip.AddrPort {
	if server.Local {
		return v.Addr
	}
	return netip.AddrPortFrom(server.Address, cmp.Or(server.Port, v.Addr.Port()))
}

func added(sum api.Traffic, counts reconcile.Connections) api.Traffic {
	sum.Active += counts.Active
	sum.Inactive += counts.Inactive
	sum.Flows += counts.Total
	sum.Packets += counts.PacketsIn
	sum.Bytes += counts.BytesIn
	sum.BackPackets += counts.PacketsOut
	sum.BackBytes += counts.BytesOut
	return sum
}
