// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/maps"
)

// told lists the events of some kinds, without number and time.
func told(t *testing.T, c *api.Client, kinds ...string) []api.Event {
	t.Helper()
	var out []api.Event
	err := c.Events(t.Context(), api.Query{N: -1}, func(e api.Event) error {
		if slices.Contains(kinds, e.Kind) {
			out = append(out, api.Event{Kind: e.Kind, Name: e.Name, From: e.From, To: e.To, Reason: e.Reason})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestForwarding(t *testing.T) {
	for _, tc := range []struct {
		name     string
		asked    config.Forwarding
		ipvs     error
		by, note string
		err      string
	}{
		{"asked for", config.ForwardingIPVS, nil, "ipvs", "director.forwarding says so", ""},
		{"asked for and not there", config.ForwardingIPVS, fs.ErrNotExist, "", "", "this kernel has no IPVS"},
		{"asked for and broken", config.ForwardingIPVS, errInjected, "", "", "maitred doctor"},
		{"found", config.ForwardingAuto, nil, "ipvs", "this kernel has IPVS", ""},
		{"not found", config.ForwardingAuto, fs.ErrNotExist, "ebpf", "this kernel has no IPVS", ""},
		{"not to be found out", config.ForwardingAuto, errInjected, "", "", "maitred doctor"},
		{"eBPF asked for", config.ForwardingEBPF, nil, "ebpf", "director.forwarding says so", ""},
		{"eBPF asked for, IPVS gone", config.ForwardingEBPF, fs.ErrNotExist, "ebpf", "director.forwarding says so", ""},
		{"not asked for", config.ForwardingNone, fs.ErrNotExist, "none", "director.forwarding says so", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			by, note, err := choice(tc.asked, tc.ipvs)
			if string(by) != tc.by || note != tc.note {
				t.Errorf("%q (%q), want %q (%q)", by, note, tc.by, tc.note)
			}
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
		})
	}
}

func TestForwardingIsTold(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	if st := r.status(); st.Forwarding != "none" || st.ForwardingNote != "no IPVS here" {
		t.Errorf("status says %q (%q)", st.Forwarding, st.ForwardingNote)
	}
	events := told(t, r.client, "config")
	want := api.Event{Kind: "config", Name: "lb1", Reason: api.ForwardingText("none", "no IPVS here")}
	if !slices.Contains(events, want) {
		t.Errorf("events %+v, want %+v among them", events, want)
	}
}

func TestReadyIsLoggedWithTheStateOfTheKernel(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"agrees", nil, `level=INFO msg="ready, every service is decided and the kernel agrees"`},
		{"does not", errInjected, `level=WARN msg="ready, but the kernel does not agree: it will be tried again" error="injected fault"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.engine.syncErr = tc.err })
			var log bytes.Buffer
			r.logger = slog.New(slog.NewTextHandler(&log, nil))
			r.start()
			r.inputs.Probed(up(serverA))
			r.expect("READY=1", 1)
			if st := r.status(); !st.Ready || st.InSync != (tc.err == nil) {
				t.Errorf("ready %v, in sync %v", st.Ready, st.InSync)
			}
			if err := r.stop(); err != nil { // and read the log when nobody writes it
				t.Fatal(err)
			}
			if got := strings.Count(log.String(), "msg=\"ready"); got != 1 || !strings.Contains(log.String(), tc.want) {
				t.Errorf("log lacks %s:\n%s", tc.want, log.String())
			}
		})
	}
}

func TestRefusedReloadIsToldOnce(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	before := len(told(t, r.client, "config"))
	bad := errors.Join(errors.New("a.yaml:3: no such scheduler"), errors.New("a.yaml:9: no servers"))
	for _, err := range []error{bad, bad, errInjected} {
		r.set(nil, err)
		if got, err := r.client.Reload(t.Context()); err != nil || got.OK {
			t.Fatalf("reload: %+v, %v", got, err)
		}
	}
	const text = "configuration refused, the one in force stays: "
	if d := cmp.Diff([]api.Event{
		{Kind: "config", Name: "lb1", Reason: text + "a.yaml:3: no such scheduler (and 1 more)"},
		{Kind: "config", Name: "lb1", Reason: text + "injected fault"},
	}, told(t, r.client, "config")[before:]); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

// TestWholeReloadToAWrongInterface is told by all that can tell, and takes
// nothing away.
func TestWholeReloadToAWrongInterface(t *testing.T) {
	w := newWhole(t)
	w.eventually("shop serves", mode("192.0.2.10:80", maps.ModeServe))
	w.waitSynced()
	on := func(name string) []string {
		w.writeOn(name, "")
		got, err := w.client.Reload(t.Context())
		if err != nil || !got.OK {
			t.Fatalf("reload: %+v, %v", got, err)
		}
		return got.Kernel
	}
	lines := on("eth9")
	const attach = "attach to eth9, mode auto: no interface eth9"
	if len(lines) < 2 || lines[0] != "attachments: "+attach {
		t.Errorf("the reload says of the kernel %q", lines)
	}
	st, err := w.client.Status(t.Context())
	if err != nil || !st.Ready || st.InSync || st.Config.Reload == nil || len(st.Config.Reload.Kernel) != len(lines) {
		t.Errorf("status %+v, %v", st, err)
	}
	w.eventually("the engine stays", func(k *fake.Kernel) bool { return k.Engines["eth0"].TC && len(k.Engines) == 1 })
	if lines := on("eth0"); len(lines) > 0 {
		t.Errorf("put back, the kernel does not agree: %q", lines)
	}
	if d := cmp.Diff([]api.Event{
		{Kind: "kernel", Name: "attachments", From: "in sync", To: "out of sync", Reason: "cannot change the kernel: " + attach},
		{Kind: "kernel", Name: "attachments", From: "out of sync", To: "in sync", Reason: "the kernel agrees again"},
	}, slices.DeleteFunc(told(t, w.client, "kernel", "drift"), func(e api.Event) bool { return e.Name == "addresses" })); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}
