// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"testing"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/maps"
)

// Where XDP is only wished for, the driver's refusal is no error: the status is
// where an operator finds it.
func TestAttachmentTellsWhyThereIsNoXDP(t *testing.T) {
	for _, tc := range []struct {
		name string
		from maps.Attachment
		want api.Attachment
	}{
		{"both", maps.Attachment{Interface: "eth0", Index: 2, XDP: true, TC: true}, api.Attachment{Interface: "eth0", Index: 2, XDP: true, TC: true}},
		{"refused", maps.Attachment{Interface: "eth0", Index: 2, TC: true, NoXDP: errInjected}, api.Attachment{Interface: "eth0", Index: 2, TC: true, NoXDP: "injected fault"}},
		{"not wished for", maps.Attachment{Interface: "eth0", TC: true}, api.Attachment{Interface: "eth0", TC: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := attachment(tc.from); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
