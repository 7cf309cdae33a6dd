// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func TestCheckPush(t *testing.T) {
	e := fakeServer(t, fakeDaemon{}, api.NewEvents())
	for _, tc := range []struct {
		name, args string
		code       int
		out, err   string
	}{
		{"pass", "check push job --server a pass", exitDone, "job on a pass 0% 0s : pass is told\n", ""},
		{"all", "check push job --server a degraded --ttl 30s --weight 50 --message slow", exitDone, "job on a degraded 50% 30s slow: degraded is told\n", ""},
		{"no such check", "check push jop --server a fail", exitUsage, "", "there is no check of type push named jop"},
		{"no server", "check push job pass", exitUsage, "", "name the server with --server"},
		{"no outcome", "check push job --server a", exitUsage, "", "name one check, and say pass, degraded or fail"},
		{"unknown", "check push job --server a unknown", exitUsage, "", `"unknown" says nothing of a server: pass, degraded and fail do`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, e, strings.Fields(tc.args)...)
			if got.code != tc.code || got.stdout != tc.out || !strings.Contains(got.stderr, tc.err) {
				t.Errorf("%+v", got)
			}
		})
	}
}
