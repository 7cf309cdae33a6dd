// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// healthy is a machine on which nothing is to be found.
func healthy() host {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	return host{
		root: fstest.MapFS{
			"sys/kernel/btf/vmlinux":                    file("BTF"),
			"sys/fs/bpf/ours":                           file(""),
			"proc/sys/net/core/bpf_jit_enable":          file("1"),
			"proc/sys/net/core/netdev_max_backlog":      file("1000"),
			"proc/sys/net/ipv4/ip_forward":              file("1"),
			"proc/sys/net/ipv6/conf/all/forwarding":     file("1"),
			"proc/sys/net/ipv4/conf/default/forwarding": file("0"),
			"proc/sys/net/ipv4/conf/all/rp_filter":      file("0"),
			"proc/sys/net/ipv4/ip_local_port_range":     file("32768	60999"),
			"proc/meminfo":                              file("MemTotal:        4016168 kB\nMemFree:          123 kB"),
		},
		caps: func() (uint64, error) {
			return 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_RAW, nil
		},
		release:   func() (string, error) { return "6.12.30-amd64", nil },
		isBPF:     func(path string) bool { return path == "/sys/fs/bpf" },
		ownMounts: func() bool { return false },
		mayWrite:  func(string) error { return nil },
		ipvs:      func() error { return nil },
		link: func(string) (linkFacts, error) {
			return linkFacts{Kind: "device", MTU: 1500, Up: true, XDP: supportYes, Ethernet: true}, nil
		},
		path: func(to netip.Addr) (reconcile.Path, error) {
			return reconcile.Path{Interface: "eth1", Index: 3, Gateway: to}, nil
		},
		silent:    func([]reconcile.Path) []reconcile.Path { return nil },
		transmits: func(int) support { return supportYes },
		answers:   func() (uint64, uint64, error) { return 0, 0, errNone },
	}
}

func director() *config.Config {
	server := func(name, address string) config.Server {
		return config.Server{Name: name, Address: netip.MustParseAddr(address), Weight: 100}
	}
	service := func(name, address string) config.Service {
		return config.Service{Name: name, Pool: "app", Method: config.NAT, Protocol: config.TCP, Ports: []uint16{80},
			Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	return &config.Config{
		Director: config.Director{
			Interfaces: []string{"eth0"}, Attach: config.AttachAuto, Forwarding: config.ForwardingAuto, PinPath: "/sys/fs/bpf/maitred",
			Connections: config.Connections{Memory: 64 << 20}, FullNAT: config.FullNAT{PortFirst: 1024, PortLast: 32767},
		},
		Pools: []config.Pool{{Name: "app", Servers: []config.Server{
			server("a", "10.0.0.11"), server("b", "10.0.0.12"), server("c", "2001:db8:1::11"),
		}}},
		Services: []config.Service{service("shop/ipv4", "192.0.2.10"), service("shop/ipv6", "2001:db8::10")},
	}
}

func TestDoctorFindsNothingOnAHealthyMachine(t *testing.T) {
	for _, engine := range []config.Forwarding{config.ForwardingAuto, config.ForwardingIPVS, config.ForwardingEBPF, config.ForwardingNone} {
		cfg := director()
		cfg.Director.Forwarding = engine
		for _, f := range examine(healthy(), cfg) {
			if f.Level != levelOK || f.Remedy != "" {
				t.Errorf("%s: %+v", engine, f)
			}
		}
	}
}

var errNone = errors.New("no such file or directory")

// fault is one thing that is wrong, and what must be said of it.
type fault struct {
	name   string
	spoil  func(*host, *config.Config)
	check  string
	level  level
	remedy string
}

func (f fault) test(t *testing.T) {
	h, cfg := healthy(), director()
	f.spoil(&h, cfg)
	for _, got := range examine(h, cfg) {
		if got.Check != f.check {
			continue
		}
		if got.Level != f.level || !strings.Contains(got.Remedy, f.remedy) {
			t.Errorf("%+v, want level %s and a remedy with %q", got, f.level, f.remedy)
		}
		return
	}
	t.Errorf("nothing was said of %s", f.check)
}

func TestDoctorFindsFaultsOfTheMachine(t *testing.T) {
	for _, f := range []fault{
		{"no rights", func(h *host, _ *config.Config) { h.caps = func() (uint64, error) { return 0, nil } }, "capabilities", levelFail, "root"},
		{"no rights for the sorry server", func(_ *host, cfg *config.Config) { cfg.Services[0].Sorry.TLS.Key = "key" }, "sorry server", levelFail, "these too"},
		{"an old kernel", func(h *host, _ *config.Config) { h.release = func() (string, error) { return "5.15.0", nil } }, "kernel", levelFail, "6.1"},
		{"a kernel of no version", func(h *host, _ *config.Config) { h.release = func() (string, error) { return "mine", nil } }, "kernel", levelWarn, "6.1"},
		{"no BTF", func(h *host, _ *config.Config) { delete(h.root.(fstest.MapFS), "sys/kernel/btf/vmlinux") }, "BTF", levelWarn, "CONFIG_DEBUG_INFO_BTF"},
		{"JIT off", func(h *host, _ *config.Config) {
			h.root.(fstest.MapFS)["proc/sys/net/core/bpf_jit_enable"].Data = []byte("0\n")
		}, "BPF JIT", levelWarn, "bpf_jit_enable=1"},
		{"no JIT", func(h *host, _ *config.Config) { delete(h.root.(fstest.MapFS), "proc/sys/net/core/bpf_jit_enable") }, "BPF JIT", levelWarn, "CONFIG_BPF_JIT"},
		{"JIT out of sight", func(h *host, _ *config.Config) {
			delete(h.root.(fstest.MapFS), "proc/sys/net/core/bpf_jit_enable")
			delete(h.root.(fstest.MapFS), "proc/sys/net/core/netdev_max_backlog")
		}, "BPF JIT", levelWarn, "look from the machine's own"},
		{"bpffs not mounted, in mounts of its own", func(h *host, _ *config.Config) {
			h.isBPF = func(string) bool { return false }
			h.ownMounts = func() bool { return true }
		}, "bpffs", levelWarn, "nsenter --net="},
		{"bpffs not mounted, in a network namespace", func(h *host, _ *config.Config) {
			h.isBPF = func(string) bool { return false }
			delete(h.root.(fstest.MapFS), "proc/sys/net/core/netdev_max_backlog")
		}, "bpffs", levelWarn, "nsenter --net="},
		{"bpffs shared with mounts of its own", func(h *host, _ *config.Config) { h.ownMounts = func() bool { return true } }, "bpffs", levelOK, ""},
		{"pins of somebody else", func(h *host, _ *config.Config) {
			h.mayWrite = func(folder string) error { return fmt.Errorf("%s: permission denied", folder) }
		}, "pins", levelFail, "chown USER /sys/fs/bpf/maitred && chmod go+x /sys/fs/bpf"},
		{"bpffs not mounted", func(h *host, _ *config.Config) { h.isBPF = func(string) bool { return false } }, "bpffs", levelWarn, "mount -t bpf"},
		{"forwarding of IPv4 off", func(h *host, _ *config.Config) {
			h.root.(fstest.MapFS)["proc/sys/net/ipv4/ip_forward"].Data = []byte("0\n")
		}, "net.ipv4.ip_forward", levelFail, "sysctl -w net.ipv4.ip_forward=1"},
		{"forwarding of IPv6 off", func(h *host, _ *config.Config) {
			h.root.(fstest.MapFS)["proc/sys/net/ipv6/conf/all/forwarding"].Data = []byte("0\n")
		}, "net.ipv6.conf.all.forwarding", levelFail, "sysctl -w"},
	} {
		t.Run(f.name, f.test)
	}
}

func TestDoctorFindsFaultsOfInterfaces(t *testing.T) {
	link := func(l linkFacts) func(*host, *config.Config) {
		l.Ethernet = true
		return func(h *host, _ *config.Config) { h.link = func(string) (linkFacts, error) { return l, nil } }
	}
	for _, f := range []fault{
		{"no interface", func(h *host, _ *config.Config) {
			h.link = func(string) (linkFacts, error) { return linkFacts{}, errNone }
		}, "eth0", levelFail, "director.interfaces"},
		{"an interface that is down", link(linkFacts{Kind: "device", MTU: 1500, XDP: supportYes}), "eth0", levelWarn, "up"},
		{"no native XDP", link(linkFacts{Kind: "device", MTU: 1500, Up: true, XDP: supportNo}), "eth0 XDP", levelWarn, "none needed"},
		{"no native XDP, but asked for", func(h *host, c *config.Config) {
			link(linkFacts{Kind: "device", MTU: 1500, Up: true, XDP: supportNo})(h, c)
			c.Director.Attach = config.AttachXDP
		}, "eth0 XDP", levelFail, "director.attach"},
		{"XDP not told", link(linkFacts{Kind: "device", MTU: 1500, Up: true}), "eth0 XDP", levelOK, ""},
		{"no Ethernet", func(h *host, _ *config.Config) {
			h.link = func(string) (linkFacts, error) { return linkFacts{Kind: "tun", MTU: 1500, Up: true}, nil }
		}, "eth0", levelFail, "Ethernet"},
		{"under VLAN devices", link(linkFacts{Kind: "device", MTU: 1500, Up: true, XDP: supportYes, VLANs: true}), "eth0 XDP", levelOK, ""},
		{"XDP under VLAN devices", func(h *host, c *config.Config) {
			link(linkFacts{Kind: "device", MTU: 1500, Up: true, XDP: supportYes, VLANs: true})(h, c)
			c.Director.Attach = config.AttachXDP
		}, "eth0 XDP", levelFail, "director.attach"},
		{"a veth", link(linkFacts{Kind: "veth", MTU: 1500, Up: true, XDP: supportYes}), "eth0 XDP", levelOK, ""},
		{"XDP on a veth", func(h *host, c *config.Config) {
			link(linkFacts{Kind: "veth", MTU: 1500, Up: true, XDP: supportYes})(h, c)
			c.Director.Attach = config.AttachXDP
		}, "eth0 XDP", levelWarn, "director.attach: tc"},
		{"XDP on a veth of large packets", func(h *host, c *config.Config) {
			link(linkFacts{Kind: "veth", MTU: 9000, Up: true, XDP: supportYes})(h, c)
			c.Director.Attach = config.AttachXDP
		}, "eth0 XDP", levelWarn, "director.attach: tc"},
	} {
		t.Run(f.name, f.test)
	}
}

func TestDoctorAsksForForwardingOnlyWhereItIsNeeded(t *testing.T) {
	cfg := director()
	cfg.Services = cfg.Services[:1]
	for _, tc := range []struct {
		method config.Method
		engine config.Forwarding
		want   int
	}{{config.DR, config.ForwardingIPVS, 0}, {config.NAT, config.ForwardingIPVS, 1}, {config.DR, config.ForwardingEBPF, 1}} {
		cfg.Services[0].Method = tc.method
		if found := checkForward(healthy(), cfg, tc.engine); len(found) != tc.want {
			t.Errorf("method %s by %s: %+v", tc.method, tc.engine, found)
		}
	}
}

func TestDoctorAsksForPinsOnlyOnABPFFileSystem(t *testing.T) {
	h := healthy()
	h.isBPF = func(string) bool { return false }
	if found := checkPins(h, "/sys/fs/bpf/maitred"); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestMayWrite(t *testing.T) {
	folder := t.TempDir()
	if err := mayWrite(folder + "/a/b"); err != nil {
		t.Errorf("a folder that can be made: %v", err)
	}
	if err := mayWrite("/proc/a/b"); os.Geteuid() != 0 && err == nil {
		t.Error("nobody but root may write to /proc")
	}
	file := folder + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mayWrite(file + "/a"); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("below a file: %v", err)
	}
}

func TestDoctorTellsOfTailRoom(t *testing.T) {
	for _, tc := range []struct {
		name    string
		link    linkFacts
		attach  config.Attach
		answers func() (uint64, uint64, error)
		want    string // empty: no such finding
	}{
		{"no daemon", linkFacts{Kind: "device", XDP: supportYes}, config.AttachAuto, nil,
			"hold a frame of about 1472 bytes; longer answers come from tc, none is lost (see how many: pass_deferred in maitred status -o wide)"},
		{"measured", linkFacts{Kind: "device", XDP: supportYes}, config.AttachAuto, func() (uint64, uint64, error) { return 800, 50, nil },
			"none is lost (6.2 % of 800 so far, on all interfaces)"},
		{"nothing answered yet", linkFacts{Kind: "device", XDP: supportYes}, config.AttachAuto, func() (uint64, uint64, error) { return 0, 0, nil },
			"(see how many: "},
		{"veth", linkFacts{Kind: "veth", MTU: 1500, XDP: supportYes}, config.AttachXDP, nil, "a veth has 0 to 690 bytes behind a packet"},
		{"tc alone", linkFacts{Kind: "device", XDP: supportYes}, config.AttachTC, nil, ""},
		{"no native XDP", linkFacts{Kind: "device", XDP: supportNo}, config.AttachAuto, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, cfg := healthy(), director()
			tc.link.Ethernet = true
			h.link = func(string) (linkFacts, error) { return tc.link, nil }
			if tc.answers != nil {
				h.answers = tc.answers
			}
			cfg.Director.Attach = tc.attach
			got := ""
			for _, f := range examine(h, cfg) {
				if f.Check == "eth0 tail room" && f.Level == levelOK {
					got = f.Found
				}
			}
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDoctorAsksTheDaemonForItsAnswers(t *testing.T) {
	e := fakeServer(t, fakeDaemon{status: func() api.Status {
		return api.Status{Verdicts: map[string]api.Counter{
			"answer_syn": {Packets: 3}, "answer_last": {Packets: 4}, "pass_deferred": {Packets: 2}, "pass_served": {Packets: 9},
		}}
	}}, api.NewEvents())
	a := &app{Env: Env{Getenv: func(k string) string { return e.vars[k] }}}
	sent, deferred, err := a.thisHost(t.Context()).answers()
	if err != nil || sent != 7 || deferred != 2 {
		t.Errorf("%d answers, %d deferred, %v, want 7 and 2", sent, deferred, err)
	}
}

func TestDoctorLooksAtLinks(t *testing.T) {
	l, err := askLink("lo")
	if err != nil || !l.Ethernet || l.VLANs || l.MTU == 0 {
		t.Errorf("lo: %+v, %v", l, err)
	}
}

func TestDoctorCommand(t *testing.T) {
	got := run(t, env{}, "doctor", "-o", "json", "--config", "testdata/good.yaml", "no-such-interface")
	if got.code != exitFailed || !strings.Contains(got.stderr, "mend what failed") {
		t.Errorf("exit %d, stderr %q: want 1 for an interface that there is not", got.code, got.stderr)
	}
	var findings []finding
	if err := json.Unmarshal([]byte(got.stdout), &findings); err != nil {
		t.Fatal(err)
	}
	last := findings[len(findings)-1]
	if last.Check != "no-such-interface" || last.Level != levelFail {
		t.Errorf("last finding %+v", last)
	}
}

func TestDoctorWithoutAConfiguration(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"testdata/bad.yaml", "testdata/bad.yaml has mistakes (maitred validate tells them): only the machine"},
		{"testdata/none.yaml", "testdata/none.yaml is not there: only the machine"},
	} {
		got := run(t, env{vars: map[string]string{"MAITRED_CONFIG": tc.file}}, "doctor", "lo")
		if !strings.Contains(got.stderr, tc.want) || !strings.Contains(got.stdout, "kernel") || strings.Contains(got.stderr, "socket") {
			t.Errorf("%s: stderr %q, want %q", tc.file, got.stderr, tc.want)
		}
		byFlag := run(t, env{}, "doctor", "--config", tc.file)
		if byFlag.code != exitFailed || byFlag.stdout != "" || !strings.HasPrefix(byFlag.stderr, tc.file) {
			t.Errorf("%s by flag: %+v", tc.file, byFlag)
		}
	}
}

func TestDoctorTable(t *testing.T) {
	a := &app{Env: Env{Getenv: func(string) string { return "" }}}
	golden(t, "doctor.golden", a.findingsText([]finding{
		{Level: levelOK, Check: "kernel", Found: "6.12, tc by tcx"},
		{levelWarn, "BPF JIT", "is off", "sysctl -w net.core.bpf_jit_enable=1"},
		{levelFail, "eth9", "there is no such interface", "correct director.interfaces"},
	}))
}
