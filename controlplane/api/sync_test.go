// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDisagreements(t *testing.T) {
	good := Target{Name: "maps", InSync: true}
	failed := Target{Name: "attachments", LastError: "attach to eth8: no such device\nattach to eth9: no such device"}
	waits := Target{Name: "addresses"}
	for _, tc := range []struct {
		name    string
		targets []Target
		want    []string
		brief   string
	}{
		{"none", []Target{good}, nil, ""},
		{"fails and holds back", []Target{waits, good, failed}, []string{
			"attachments: attach to eth8: no such device", "attachments: attach to eth9: no such device",
			"addresses: held back until that holds",
		}, "attachments: attach to eth8: no such device (and 2 more)"},
		{"under way", []Target{waits}, []string{"addresses: not told of the newest decision yet"},
			"addresses: not told of the newest decision yet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Disagreements(tc.targets)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("disagreements (-want +got):\n%s", d)
			}
			if InSync(tc.targets) != (len(tc.want) == 0) {
				t.Errorf("in sync %v with %q", InSync(tc.targets), got)
			}
			if got := Brief(got); got != tc.brief {
				t.Errorf("in brief %q, want %q", got, tc.brief)
			}
		})
	}
}

func TestForwardingText(t *testing.T) {
	if got := ForwardingText("ipvs", ""); got != "forwarding: ipvs" {
		t.Errorf("%q", got)
	}
	if got := ForwardingText("ebpf", "this kernel has no IPVS"); got != "forwarding: ebpf (this kernel has no IPVS)" {
		t.Errorf("%q", got)
	}
	want := "forwarding: none (director.forwarding says so): services are checked and say sorry, but nothing is forwarded"
	if got := ForwardingText("none", "director.forwarding says so"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
