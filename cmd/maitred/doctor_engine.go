// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/controlplane"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// engineOf is who will forward on this machine, and why; never auto.
func engineOf(h host, f config.Forwarding) (by config.Forwarding, why string) {
	switch f {
	case config.ForwardingIPVS, config.ForwardingEBPF, config.ForwardingNone:
		return f, "director.forwarding says so"
	case config.ForwardingAuto:
	}
	if h.ipvs() != nil {
		return config.ForwardingEBPF, "director.forwarding is auto, and this kernel has no IPVS"
	}
	return config.ForwardingIPVS, "director.forwarding is auto, and this kernel has IPVS"
}

// checkEngine looks at what the engine that will forward needs, and whether it
// can do what the configuration asks of it.
func checkEngine(h host, cfg *config.Config) []finding {
	engine, why := engineOf(h, cfg.Director.Forwarding)
	found := finding{Level: levelOK, Check: "forwarding", Found: fmt.Sprintf("%s: %s", engine, why)}
	if engine == config.ForwardingIPVS && h.ipvs() != nil {
		found = finding{levelFail, "forwarding", "the kernel has no IPVS, and director.forwarding is ipvs: the daemon does not start",
			"set director.forwarding to auto or ebpf; or use a kernel with CONFIG_IP_VS, or load ip_vs where modules are not loaded on demand"}
	}
	out := []finding{found}
	if cfg.Director.Forwarding == config.ForwardingAuto { // else loading has told
		for _, err := range cfg.Refuse(engine) {
			out = append(out, finding{levelFail, "configuration", err.Error(), "correct it, or name another engine in director.forwarding"})
		}
	}
	switch engine {
	case config.ForwardingEBPF:
		out = append(out, checkForward(h, cfg, engine)...)
		out = append(out, checkTable(h, cfg))
		out = append(out, checkFullNAT(h, cfg)...)
		out = append(out, checkSources(h, cfg)...)
		out = append(out, checkWays(h, cfg)...)
		out = append(out, checkDataplane(cfg, engine)...)
	case config.ForwardingIPVS:
		out = append(out, checkForward(h, cfg, engine)...)
		out = append(out, checkDataplane(cfg, engine)...)
	case config.ForwardingNone, config.ForwardingAuto:
	}
	return out
}

// checkForward looks at the switches of forwarding, one for each family that
// needs it: with IPVS those of NAT, whose answers the kernel's own forwarding
// takes back; with eBPF all, since the kernel looks up no route for it without
// (bpf_fib_lookup, net/core/filter.c): those to servers the daemon has looked up,
// those to clients nobody.
func checkForward(h host, cfg *config.Config, engine config.Forwarding) []finding {
	uses, answers := map[string]bool{}, map[string]bool{}
	for _, s := range cfg.Services {
		if engine == config.ForwardingIPVS && s.Method != config.NAT {
			continue
		}
		for _, a := range s.Addresses {
			name := forwardSwitch(a.Is4())
			uses[name] = true
			answers[name] = answers[name] || s.Method == config.NAT || s.Method == config.FULLNAT
		}
		for _, server := range cfg.Reached(s) {
			uses[forwardSwitch(server.Address.Is4())] = true
		}
	}
	bad := finding{Level: levelFail, Found: "is off: answers of real servers do not get through (methods nat and fullnat)"}
	slow := bad
	if engine == config.ForwardingEBPF {
		slow = finding{Level: levelWarn, Found: "is off: the kernel looks up no routes for eBPF then, and all packets take the slower way by tc"}
	}
	var out []finding
	for _, name := range []string{forwardSwitch(true), forwardSwitch(false)} {
		if !uses[name] {
			continue
		}
		f := finding{Level: levelOK, Check: name, Found: "on"}
		if value, err := sysctl(h, name); err != nil || value == "0" {
			f = slow
			if answers[name] {
				f = bad
			}
			f.Check, f.Remedy = name, "sysctl -w "+name+"=1"
		}
		out = append(out, f)
	}
	return out
}

func forwardSwitch(is4 bool) string {
	if is4 {
		return "net.ipv4.ip_forward"
	}
	return "net.ipv6.conf.all.forwarding"
}

// tableShare is the part of the machine's memory that the table of connections
// should not exceed.
const tableShare = 4

// checkTable weighs the table of connections against the machine. Its rows are
// taken when the daemon starts, used or not; when it is full, the connection that
// was idle longest is forgotten for a new one.
func checkTable(h host, cfg *config.Config) finding {
	memory := uint64(cfg.Director.Connections.Memory)
	f := finding{Level: levelOK, Check: "table of connections", Found: fmt.Sprintf("%s for %d connections",
		bytesText(memory), controlplane.Room(cfg))}
	total, err := memoryOf(h)
	switch {
	case err != nil:
		f.Found += "; the memory of this machine is not to be found out: " + err.Error()
	case memory > total/tableShare:
		f.Level, f.Remedy = levelWarn, fmt.Sprintf("director.connections.memory: less than %s", bytesText(total/tableShare))
		f.Found += fmt.Sprintf(": more than a quarter of this machine's %s", bytesText(total))
	default:
		f.Found += fmt.Sprintf(", of %s that this machine has", bytesText(total))
	}
	return f
}

// memoryOf is MemTotal of proc_meminfo(5).
func memoryOf(h host) (uint64, error) {
	text, err := readText(h, "proc/meminfo")
	if err != nil {
		return 0, err
	}
	var kB uint64
	if _, err := fmt.Sscanf(text, "MemTotal: %d kB", &kB); err != nil {
		return 0, fmt.Errorf("read MemTotal of /proc/meminfo: %w", err)
	}
	return kB << 10, nil
}

// checkFullNAT looks for ports that both full NAT and the machine's own
// connections would use.
func checkFullNAT(h host, cfg *config.Config) []finding {
	nat := cfg.Director.FullNAT
	if len(nat.Sources) == 0 {
		return nil
	}
	f := finding{Level: levelOK, Check: "full NAT ports", Found: fmt.Sprintf("%d-%d on addresses %v: %d connections to each port of a server",
		nat.PortFirst, nat.PortLast, nat.Sources, len(nat.Sources)*(int(nat.PortLast)-int(nat.PortFirst)+1))}
	text, err := sysctl(h, "net.ipv4.ip_local_port_range")
	if err != nil {
		f.Level, f.Found, f.Remedy = levelWarn, f.Found+"; net.ipv4.ip_local_port_range is not to be found out",
			"see that this machine's own connections use other ports"
		return []finding{f}
	}
	first, last, ok := portRange(text)
	if ok && int(nat.PortFirst) <= last && first <= int(nat.PortLast) {
		f.Level = levelFail
		f.Found += fmt.Sprintf("; this machine uses %d-%d for its own connections, whose answers would be taken for clients'", first, last)
		f.Remedy = fmt.Sprintf("sysctl -w net.ipv4.ip_local_port_range='%d 65535', or other director.fullnat.ports", max(int(nat.PortLast)+1, 32768))
	}
	return []finding{f}
}

// checkSources looks whether full NAT's addresses are this machine's, so that
// servers find it when they answer.
func checkSources(h host, cfg *config.Config) []finding {
	var foreign []string
	for _, a := range cfg.Director.FullNAT.Sources {
		if way, err := h.path(a); err != nil || way.Interface != "lo" {
			foreign = append(foreign, a.String())
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	return []finding{{levelFail, "full NAT addresses", "no addresses of this machine, and answers of servers do not find it: " + some(foreign),
		"ip address add " + foreign[0] + " on the interface towards the servers, or other director.fullnat.addresses"}}
}

func portRange(text string) (first, last int, ok bool) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return 0, 0, false
	}
	first, err1 := strconv.Atoi(fields[0])
	last, err2 := strconv.Atoi(fields[1])
	return first, last, err1 == nil && err2 == nil
}

const dataplane = "checks via dataplane"

// checkDataplane tells how the answers to checks via the data path come in. They
// come from a service's address, which is this machine's own, unless IPVS
// translates them back. On lo rp_filter does not look at what is local
// (net/ipv4/fib_frontend.c).
func checkDataplane(cfg *config.Config, engine config.Forwarding) []finding {
	services := asked(cfg)
	if len(services) == 0 {
		return nil
	}
	straight := func(s config.Service) bool { return s.Method != config.NAT }
	if engine == config.ForwardingIPVS && !slices.ContainsFunc(services, straight) {
		return []finding{{Level: levelOK, Check: dataplane, Found: "IPVS brings their answers back by itself"}}
	}
	return []finding{{Level: levelOK, Check: dataplane, Found: "the daemon sets net.ipv4.conf.lo.accept_local, by which answers come in"}}
}

// asked lists the services that checks ask via the data path.
func asked(cfg *config.Config) []config.Service {
	var out []config.Service
	for _, check := range cfg.Checks {
		for _, s := range cfg.Services {
			if check.Via == config.ViaDataplane && check.Service == s.Given() {
				out = append(out, s)
			}
		}
	}
	return out
}
