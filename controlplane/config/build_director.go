// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (b builder) director() Director {
	d := b.raw.Director
	if !b.given("director.name") {
		name, err := b.hostname()
		if err != nil || name == "" {
			b.missing("director.name", "this machine has no host name to take instead")
		}
		d.Name = name
	} else {
		b.name("director.name", d.Name)
	}
	if len(d.Interfaces) == 0 && b.ok("director.interfaces") {
		b.missing("director.interfaces", "name those that clients' packets arrive on, for example [eth0]")
	}
	for i, name := range d.Interfaces {
		path := at("director", "interfaces", i)
		if problem := badInterface(name); problem != "" {
			b.add(path, "%q %s", name, problem)
		} else if first := slices.Index(d.Interfaces, name); first < i {
			b.add(path, "%q is named twice", name)
		}
	}
	b.enum("director.attach", d.Attach, "a way to attach", string(AttachAuto), string(AttachXDP), string(AttachTC))
	b.enum("director.forwarding", d.Forwarding, "a forwarding engine", string(ForwardingAuto), string(ForwardingIPVS), string(ForwardingEBPF), string(ForwardingNone))
	b.enum("director.addresses", d.Addresses, "an address mode", string(AddressesManage), string(AddressesExternal))
	b.enum("director.on_stop", d.OnStop, "what a stop can do", string(OnStopKeep), string(OnStopWithdraw))
	b.between("director.resync_interval", d.ResyncInterval, time.Second, 24*time.Hour)
	b.absolute("director.pin_path", d.PinPath)
	b.absolute("director.state_dir", d.StateDir)
	absence, absentAfter := b.absence("director.absence", d.Absence)
	return Director{
		Name:         d.Name,
		Interfaces:   d.Interfaces,
		Attach:       Attach(d.Attach),
		Forwarding:   Forwarding(d.Forwarding),
		Connections:  b.connections("director.connections", d.Connections),
		FullNAT:      b.fullNAT("director.fullnat", d.FullNAT),
		Addresses:    AddressMode(d.Addresses),
		OnStop:       OnStop(d.OnStop),
		Resync:       d.ResyncInterval,
		CookieSecret: b.cookieSecret("director.cookie_key_file", d.CookieKeyFile),
		Absence:      absence,
		AbsentAfter:  absentAfter,
		PinPath:      d.PinPath,
		StateDir:     d.StateDir,
		Resolver:     b.resolver("director.resolver", d.Resolver),
	}
}

// badInterface tells what keeps name from naming a network interface; see
// dev_valid_name in the kernel's net/core/dev.c.
func badInterface(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "is not the name of an interface"
	case len(name) > 15:
		return "is longer than the 15 bytes that the name of an interface may have"
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' }):
		return "is not the name of an interface: ASCII without spaces, / and :"
	}
	return ""
}

// The bounds of the table of connections, and of the times that it is kept for.
// The kernel has 16 bits for how long ago a connection was heard of, in seconds.
const (
	leastMemory     = 1 << 20
	mostMemory      = 64 << 30
	shortestTimeout = time.Second
	longestTimeout  = 9 * time.Hour
)

func (b builder) connections(path string, r rawConnections) Connections {
	for _, timeout := range []struct {
		key   string
		value time.Duration
	}{{"tcp_timeout", r.TCPTimeout}, {"fin_timeout", r.FINTimeout}, {"udp_timeout", r.UDPTimeout}} {
		at := at(path, timeout.key)
		if b.between(at, timeout.value, shortestTimeout, longestTimeout) && timeout.value%time.Second != 0 {
			b.add(at, "%v is not a number of whole seconds", timeout.value)
		}
	}
	return Connections{
		Memory: b.memory(path+".memory", r.Memory),
		TCP:    r.TCPTimeout, FIN: r.FINTimeout, UDP: r.UDPTimeout,
	}
}

// units are those of memory, by the power of two that each stands for.
var units = map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}

var memoryForm = regexp.MustCompile(`^([0-9]{1,9})(KiB|MiB|GiB)$`)

func (b builder) memory(path, text string) int64 {
	found := memoryForm.FindStringSubmatch(text)
	if found == nil {
		b.add(path, "%q is not an amount of memory: say 64MiB or 1GiB", text)
		return 0
	}
	number, _ := strconv.ParseInt(found[1], 10, 64) // digits, and few enough
	bytes := number << units[found[2]]
	if bytes < leastMemory || bytes > mostMemory {
		b.add(path, "%s is out of range: %s to %s", text, Memory(leastMemory), Memory(mostMemory))
	}
	return bytes
}

// Memory writes an amount of memory as an operator does: 64MiB.
func Memory(bytes int64) string {
	for _, unit := range []string{"GiB", "MiB"} {
		if bytes%(1<<units[unit]) == 0 {
			return strconv.FormatInt(bytes>>units[unit], 10) + unit
		}
	}
	return strconv.FormatInt(bytes>>units["KiB"], 10) + "KiB"
}

// mostSources is how many addresses of a family full NAT may come from: half of
// SOURCES_MAX in bpf/include/types.h.
const mostSources = 16

func (b builder) fullNAT(path string, r rawFullNAT) FullNAT {
	f := FullNAT{Sources: b.hosts(path+".addresses", r.Addresses)}
	f.PortFirst, f.PortLast = b.portRange(path+".ports", r.Ports)
	for family, is4 := range map[string]bool{"IPv4": true, "IPv6": false} {
		n := 0
		for _, a := range f.Sources {
			if a.Is4() == is4 {
				n++
			}
		}
		if n > mostSources {
			b.add(path+".addresses", "%d of them are %s: at most %d are possible", n, family, mostSources)
		}
	}
	return f
}

// hosts reads a list of addresses, each given once.
func (b builder) hosts(path string, texts []string) []netip.Addr {
	var addrs []netip.Addr
	for i, text := range texts {
		addr := b.address(at(path, i), text)
		if !addr.IsValid() {
			continue
		}
		if slices.Contains(addrs, addr) {
			b.add(at(path, i), "%v is given twice", addr)
			continue
		}
		addrs = append(addrs, addr)
	}
	return addrs
}

func (b builder) portRange(path, text string) (first, last uint16) {
	from, to, _ := strings.Cut(text, "-")
	low, err := strconv.ParseUint(from, 10, 16)
	high, err2 := strconv.ParseUint(to, 10, 16)
	switch {
	case err != nil || err2 != nil || low == 0:
		b.add(path, `%q is not a range of ports: say "1024-32767"`, text)
	case low > high:
		b.add(path, "%q is empty: the first is above the last", text)
	}
	return uint16(low), uint16(high)
}
