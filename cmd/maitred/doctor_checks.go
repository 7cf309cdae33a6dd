// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// examine looks at everything that the configuration needs of the machine.
func examine(h host, cfg *config.Config) []finding {
	findings := []finding{
		checkCapabilities(h), checkKernel(h), checkBTF(h), checkJIT(h), checkBPFFS(h, cfg.Director.PinPath),
	}
	if slices.ContainsFunc(cfg.Services, config.Service.Local) {
		findings = append(findings, checkSorryServer(h))
	}
	findings = append(findings, checkPins(h, cfg.Director.PinPath)...)
	findings = append(findings, checkEngine(h, cfg)...)
	for _, name := range cfg.Director.Interfaces {
		findings = append(findings, checkInterface(h, name, cfg.Director.Attach)...)
	}
	return findings
}

func checkCapabilities(h host) finding {
	found := ""
	set, err := h.caps()
	if err != nil {
		found = err.Error()
	} else if names := lacking(set, needed()); names != "" {
		found = "lacking: " + names
	}
	if found != "" {
		return finding{levelFail, "capabilities", found, "run as root, or give the daemon AmbientCapabilities= in its systemd unit"}
	}
	return finding{Level: levelOK, Check: "capabilities", Found: "all that are needed"}
}

// checkSorryServer looks at what the daemon needs to run the server that shows pages
// over HTTPS.
func checkSorryServer(h host) finding {
	set, err := h.caps()
	if err != nil {
		return finding{levelFail, "sorry server", err.Error(), "run as root"}
	}
	if names := lacking(set, neededForTLS()); names != "" {
		return finding{levelFail, "sorry server", "lacking: " + names,
			"run as root, or give the daemon these too, or services with sorry.tls have no page over HTTPS: see docs/sorry-server.md"}
	}
	return finding{Level: levelOK, Check: "sorry server", Found: "may listen, and run as a user of its own"}
}

// kernelVersion reads the first two numbers of a kernel's release.
func kernelVersion(h host) (major, minor int, text string, err error) {
	text, err = h.release()
	if err == nil {
		_, err = fmt.Sscanf(text, "%d.%d", &major, &minor)
	}
	return major, minor, text, err
}

func checkKernel(h host) finding {
	major, minor, text, err := kernelVersion(h)
	switch {
	case err != nil:
		return finding{levelWarn, "kernel", "version not to be found out: " + err.Error(), "it must be 6.1 or later"}
	case major < 6 || major == 6 && minor < 1:
		return finding{levelFail, "kernel", text, "install Linux 6.1 or later"}
	case major == 6 && minor < 6:
		return finding{Level: levelOK, Check: "kernel", Found: text + ", tc by clsact"}
	}
	return finding{Level: levelOK, Check: "kernel", Found: text + ", tc by tcx"}
}

func sysctl(h host, name string) (string, error) {
	return readText(h, "proc/sys/"+strings.ReplaceAll(name, ".", "/"))
}

func readText(h host, path string) (string, error) {
	b, err := fs.ReadFile(h.root, path)
	return strings.TrimSpace(string(b)), err
}

func checkInterface(h host, name string, mode config.Attach) []finding {
	l, err := h.link(name)
	if err != nil {
		return []finding{{levelFail, name, "there is no such interface: " + err.Error(), "correct director.interfaces; ip link shows what there is"}}
	}
	if !l.Ethernet {
		return []finding{{levelFail, name, "its packets have no Ethernet header, which the programs need", "name Ethernet interfaces in director.interfaces"}}
	}
	found := finding{Level: levelOK, Check: name, Found: fmt.Sprintf("%s, MTU %d", l.Kind, l.MTU)}
	if !l.Up {
		found = finding{levelWarn, name, found.Found + ", is down", "ip link set " + name + " up"}
	}
	return append([]finding{found}, checkXDP(h, name, l, mode)...)
}

// checkXDP says where the programs will sit on an interface.
func checkXDP(h host, name string, l linkFacts, mode config.Attach) []finding {
	check := name + " XDP"
	veth := l.Kind == "veth"
	switch {
	case mode == config.AttachTC:
		return []finding{{Level: levelOK, Check: check, Found: "not asked for: tc does it all"}}
	case l.VLANs && mode == config.AttachXDP:
		return []finding{{levelFail, check, "VLAN devices stand on it, whose tags drivers take off before XDP", "director.attach: auto or tc"}}
	case l.VLANs:
		return []finding{{Level: levelOK, Check: check, Found: "not used under VLAN devices: tc does it all"}}
	case veth && mode != config.AttachXDP:
		return []finding{{Level: levelOK, Check: check, Found: "not used on veth: tc does it all"}}
	case veth:
		return []finding{{levelWarn, check, "a veth sends answers by XDP only to a peer that runs an XDP program as well",
			"director.attach: tc needs none"}, checkTail(h, name, true)}
	case l.XDP == supportYes:
		return []finding{{Level: levelOK, Check: check, Found: "the driver has it"}, checkTail(h, name, false)}
	case l.XDP == supportNo && mode == config.AttachXDP:
		return []finding{{levelFail, check, "the driver has no native XDP", "director.attach: auto or tc"}}
	case l.XDP == supportNo:
		return []finding{{levelWarn, check, "the driver has no native XDP: tc does it all",
			"none needed; an interface with native XDP does more with less"}}
	}
	return []finding{{Level: levelOK, Check: check, Found: "this kernel does not tell (6.3 does); the daemon tries"}}
}

// checkTail says how long an answer from XDP can be. No driver tells: a page of
// 2 KiB less XDP_PACKET_HEADROOM and the skb_shared_info at its end leaves 1472
// bytes, and a veth what its allocator rounded up.
func checkTail(h host, name string, veth bool) finding {
	room := "receive buffers of 2 KiB, as most drivers have, hold a frame of about 1472 bytes"
	if veth {
		room = "a veth has 0 to 690 bytes behind a packet"
	}
	sent, deferred, err := h.answers()
	share := "see how many: pass_deferred in maitred status -o wide"
	if err == nil && sent > 0 {
		share = fmt.Sprintf("%.1f %% of %d so far, on all interfaces", 100*float64(deferred)/float64(sent), sent)
	}
	return finding{Level: levelOK, Check: name + " tail room",
		Found: room + "; longer answers come from tc, none is lost (" + share + ")"}
}
