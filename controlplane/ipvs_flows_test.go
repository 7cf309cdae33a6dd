// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/config"
)

const ipvsHead = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"

// The lines are as the kernel pads them; IPv6 has all its digits.
const ipvsLines = `TCP C0000202 C350 C633640A 0050 0A000102 1F90 ESTABLISHED     894
UDP C0000203 0035 C633640A 0035 0A000202 0035 UDP             299
TCP 20010db8000100000000000000000002 not a port
`

func TestReadIPVSFlows(t *testing.T) {
	v6 := "TCP 2001:0db8:0001:0000:0000:0000:0000:0002 C351 2001:0db8:0100:0000:0000:0000:0000:0010 01BB " +
		"2001:0db8:0010:0001:0000:0000:0000:0002 01BB FIN_WAIT        119\n"
	mixed := "TCP C0000202 C352 C633640A 0050 2001:0db8:0010:0001:0000:0000:0000:0002 0050 SYN_RECV         59 sip call-id\n"
	flow := func(proto config.Protocol, client, service, server, state string, left time.Duration) Flow {
		return Flow{
			Virtual: config.Virtual{Addr: netip.MustParseAddrPort(service), Proto: proto},
			Client:  netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server),
			State: state, Idle: -1, Left: left,
		}
	}
	v4 := flow(config.TCP, "192.0.2.2:50000", "198.51.100.10:80", "10.0.1.2:8080", "established", 894*time.Second)
	for _, tc := range []struct {
		name, text string
		want       []Flow
		err        string
	}{
		{"nothing", "", nil, ""},
		{"no connections", ipvsHead, nil, ""},
		{"TCP and UDP", ipvsHead + strings.Join(strings.SplitAfter(ipvsLines, "\n")[:2], ""), []Flow{v4,
			flow(config.UDP, "192.0.2.3:53", "198.51.100.10:53", "10.0.2.2:53", "udp", 299*time.Second)}, ""},
		{"IPv6", ipvsHead + v6, []Flow{flow(config.TCP, "[2001:db8:1::2]:50001", "[2001:db8:100::10]:443",
			"[2001:db8:10:1::2]:443", "fin_wait", 119*time.Second)}, ""},
		{"IPv4 to a server of IPv6, with a persistence engine", ipvsHead + mixed, []Flow{flow(config.TCP, "192.0.2.2:50002",
			"198.51.100.10:80", "[2001:db8:10:1::2]:80", "syn_recv", 59*time.Second)}, ""},
		{"a template", ipvsHead + "TCP C0000202 0000 C633640A 0050 0A000102 0050 NONE             10\n", nil, ""},
		{"another protocol", ipvsHead + "SCTP C0000202 C350 C633640A 0050 0A000102 0050 NONE 10\n", nil, ""},
		{"a line that is cut short", ipvsHead + ipvsLines, []Flow{v4, flow(config.UDP, "192.0.2.3:53", "198.51.100.10:53",
			"10.0.2.2:53", "udp", 299*time.Second)}, "line 4 of the connections of IPVS: 5 fields, want 9 at least"},
		{"no address", ipvsHead + "TCP C00002 C350 C633640A 0050 0A000102 0050 NONE 10\n", nil, `line 2 of the connections of IPVS: "C00002" is no address`},
		{"no port", ipvsHead + "TCP C0000202 C350 C633640A 10050 0A000102 0050 NONE 10\n", nil, `"10050" is no port in hex`},
		{"no time", ipvsHead + "TCP C0000202 C350 C633640A 0050 0A000102 0050 NONE soon\n", nil, `"soon" is no number of seconds`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []Flow
			err := readIPVSFlows(strings.NewReader(tc.text), func(f Flow) bool { got = append(got, f); return true })
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if d := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
				t.Errorf("flows (-want +got):\n%s", d)
			}
		})
	}
}

func TestReadIPVSFlowsStops(t *testing.T) {
	line := strings.SplitAfter(ipvsLines, "\n")[0]
	n := 0
	endless := io.MultiReader(strings.NewReader(ipvsHead+line+line+line), iotest.ErrReader(errInjected))
	if err := readIPVSFlows(endless, func(Flow) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("%d flows, %v; want 2 and no error", n, err)
	}
	err := readIPVSFlows(iotest.ErrReader(errInjected), func(Flow) bool { return true })
	if !errors.Is(err, errInjected) {
		t.Errorf("error %v, want the fault", err)
	}
}

func TestIPVSFlowsOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ip_vs_conn")
	table := ipvsFlows{path: path}
	if err := table.Flows(func(Flow) bool { return true }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that there is no file", err)
	}
	if err := os.WriteFile(path, []byte(ipvsHead+strings.SplitAfter(ipvsLines, "\n")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := table.Flows(func(Flow) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("%d flows, %v", n, err)
	}
}
