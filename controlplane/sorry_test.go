// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// manyServices is shop with a service of udp and one of two families beside it.
func manyServices(socket string) *config.Config {
	cfg := shop(socket)
	for _, name := range []string{"shop-names", "mail/ipv4", "mail/ipv6"} {
		s := cfg.Services[0]
		s.Name, s.Ports = name, []uint16{uint16(81 + len(cfg.Services))}
		if name == "shop-names" {
			s.Protocol = config.UDP
		}
		cfg.Services = append(cfg.Services, s)
	}
	cfg.Pages = append(cfg.Pages, config.Page{Name: "works", Protocol: "http"}, config.Page{Name: "post", Protocol: "smtp"})
	return cfg
}

func sorryRig(t *testing.T) *rig {
	return newRig(t, func(r *rig) { r.config = manyServices(r.socket) })
}

func (r *rig) say(w api.Word) api.Said {
	r.t.Helper()
	said, err := r.client.Sorry(r.t.Context(), w)
	if err != nil {
		r.t.Fatal(err)
	}
	return said
}

// file is what was kept of what was said.
func (r *rig) file() string {
	r.t.Helper()
	text, err := os.ReadFile(overridesFile(r.config))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func TestSorryIsDoneAtOnceAndOutlivesTheDaemon(t *testing.T) {
	r := sorryRig(t)
	r.start()
	r.inputs.Probed(up(serverA))
	r.expect("READY=1", 1)
	want := api.Said{Services: []api.SaidOf{{Name: "shop", Mode: "sorry", Page: "works", Changed: true,
		Reason: "sorry on with page works, by an operator; 1 of 2 servers up, 1 without a result, quorum 1"}}}
	if d := cmp.Diff(want, r.say(api.Word{Services: []string{"shop"}, Mode: "on", Page: "works"})); d != "" {
		t.Errorf("said (-want +got):\n%s", d)
	}
	want.Services[0].Changed = false
	if d := cmp.Diff(want, r.say(api.Word{Services: []string{"shop"}, Mode: "on", Page: "works"})); d != "" {
		t.Errorf("said again (-want +got):\n%s", d)
	}
	if text := r.file(); !strings.Contains(text, `"page": "works"`) {
		t.Errorf("file %s", text)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	after := newRig(t, func(next *rig) {
		next.socket, next.config, next.client = r.socket, manyServices(r.socket), r.client
	})
	after.start()
	after.expect("shop sorry", 1)
	st := after.status()
	if o := st.Services[0].Override; o == nil || o.Mode != "on" || o.Page != "works" || o.Since.IsZero() || st.Services[0].Mode != "sorry" {
		t.Errorf("after the start: %+v", st.Services[0])
	}
	after.inputs.Probed(up(serverA))
	after.say(api.Word{All: true, Mode: "auto"})
	if text := after.file(); strings.TrimSpace(text) != "{}" {
		t.Errorf("file %s", text)
	}
	if st := after.status(); st.Services[0].Override != nil || st.Services[0].Mode != "serve" { // without linger
		t.Errorf("in the end: %+v", st.Services[0])
	}
}

func TestSorryIsMeantFor(t *testing.T) {
	for _, tc := range []struct {
		name string
		word api.Word
		want []string
	}{
		{"a name", api.Word{Services: []string{"shop"}, Mode: "on"}, []string{"shop"}},
		{"both families", api.Word{Services: []string{"mail"}, Mode: "on"}, []string{"mail/ipv4", "mail/ipv6"}},
		{"a pattern", api.Word{Services: []string{"shop*"}, Mode: "off"}, []string{"shop", "shop-names"}},
		{"all", api.Word{All: true, Mode: "off"}, []string{"shop", "shop-names", "mail/ipv4", "mail/ipv6"}},
		{"all that can", api.Word{All: true, Mode: "shed", Fraction: 0.5}, []string{"shop", "mail/ipv4", "mail/ipv6"}},
		{"the same twice", api.Word{Services: []string{"shop", "sh?p"}, Mode: "on"}, []string{"shop"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := sorryRig(t)
			r.start()
			var got []string
			for _, s := range r.say(tc.word).Services {
				got = append(got, s.Name)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("services (-want +got):\n%s", d)
			}
		})
	}
}

// A pattern leaves alone what the word can't be done to, and tells.
func TestSorryLeavesOthers(t *testing.T) {
	r := sorryRig(t)
	r.start()
	said := r.say(api.Word{All: true, Mode: "on", Page: "works"})
	want := []api.Left{{Name: "shop-names", Reason: "it is of udp, and cannot show page works, of protocol http"}}
	if d := cmp.Diff(want, said.Left); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	if len(said.Services) != 3 {
		t.Errorf("done to %+v", said.Services)
	}
}

func TestSorryThatIsRefused(t *testing.T) {
	r := sorryRig(t)
	r.start()
	shop := []string{"shop"}
	for name, tc := range map[string]struct {
		word api.Word
		want string
	}{
		"no such service":  {api.Word{Services: []string{"shpo"}, Mode: "on"}, `there is no service "shpo" (did you mean shop?): there are mail, shop, shop-names`},
		"no match":         {api.Word{Services: []string{"x*"}, Mode: "on"}, `no service's name matches "x*": there are mail, shop, shop-names`},
		"one family":       {api.Word{Services: []string{"mail/ipv4"}, Mode: "on"}, "mail/ipv4 is one family of a service: name mail, which is both"},
		"no pattern":       {api.Word{Services: []string{"["}, Mode: "on"}, `"[" is no pattern of names`},
		"nobody":           {api.Word{Mode: "on"}, "name the services that are meant: there are mail, shop, shop-names"},
		"no such page":     {api.Word{Services: shop, Mode: "on", Page: "wroks"}, `there is no page "wroks" (did you mean works?): there are closed, works, post`},
		"nothing":          {api.Word{Services: shop}, `"nothing" is no mode: there are on, off, auto and shed`},
		"no such mode":     {api.Word{Services: shop, Mode: "maybe"}, `"maybe" is no mode: there are on, off, auto and shed`},
		"page of off":      {api.Word{Services: shop, Mode: "off", Page: "works"}, "no page is shown by off"},
		"page of auto":     {api.Word{Services: shop, Mode: "auto", Page: "works"}, "no page is shown by auto"},
		"nothing to shed":  {api.Word{Services: shop, Mode: "shed"}, "0 is no part of the new connections: above 0 and at most 1"},
		"more than all":    {api.Word{Services: shop, Mode: "shed", Fraction: 1.5}, "1.5 is no part of the new connections: above 0 and at most 1"},
		"part of on":       {api.Word{Services: shop, Mode: "on", Fraction: 0.5}, "nothing is shed by on"},
		"no connections":   {api.Word{Services: []string{"shop-names"}, Mode: "shed", Fraction: 0.5}, "service shop-names: it is of udp, and no connection can be turned away"},
		"another protocol": {api.Word{Services: []string{"shop-names"}, Mode: "on", Page: "works"}, "service shop-names: it is of udp, and cannot show page works, of protocol http"},
		"other clients": {api.Word{Services: shop, Mode: "on", Page: "post"},
			"service shop: its own page closed is of protocol http: its clients would not understand page post, of protocol smtp"},
		"one of two wrong": {api.Word{Services: []string{"shop", "nothing"}, Mode: "on"}, `there is no service "nothing": there are mail, shop, shop-names`},
	} {
		_, err := r.client.Sorry(t.Context(), tc.word)
		var bad *api.FilterError
		if !errors.As(err, &bad) || bad.Text != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if _, err := os.Stat(overridesFile(r.config)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was kept: %v", err)
	}
	if st := r.status(); st.Services[0].Override != nil {
		t.Errorf("something was done: %+v", st.Services[0])
	}
}

// What cannot be kept is not done: it would be gone after a crash.
func TestSorryThatCannotBeKeptIsNotDone(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.config = manyServices(r.socket)
		r.config.Director.StateDir = filepath.Join(t.TempDir(), "file", "folder")
		if err := os.WriteFile(filepath.Dir(r.config.Director.StateDir), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	r.start()
	if _, err := r.client.Sorry(t.Context(), api.Word{All: true, Mode: "on"}); err == nil || !strings.Contains(err.Error(), "make the folder of state: ") {
		t.Errorf("error %v", err)
	}
	if st := r.status(); st.Services[0].Override != nil || st.Services[0].Mode != "pending" {
		t.Errorf("it was done: %+v", st.Services[0])
	}
}

func TestSorryTellsOfAKernelThatDoesNotAgree(t *testing.T) {
	r := newRig(t, func(r *rig) { r.engine.syncErr = errInjected })
	r.start()
	if said := r.say(api.Word{All: true, Mode: "on"}); len(said.Kernel) != 1 || !strings.Contains(said.Kernel[0], errInjected.Error()) || said.Services[0].Mode != "sorry" {
		t.Errorf("%+v", said)
	}
}

func TestReloadForgetsWhatWasSaidOfAServiceThatIsGone(t *testing.T) {
	r := sorryRig(t)
	r.start()
	r.say(api.Word{All: true, Mode: "on"})
	r.set(shop(r.socket), nil)
	if result, err := r.client.Reload(t.Context()); err != nil || !result.OK {
		t.Fatalf("%+v, %v", result, err)
	}
	if text := r.file(); strings.Contains(text, "mail") || !strings.Contains(text, `"shop"`) {
		t.Errorf("file %s", text)
	}
	if err := r.client.Events(t.Context(), api.Query{N: -1}, func(e api.Event) error {
		if e.Name == "mail" && e.Reason == "sorry on has ended: the service is gone" {
			return errInjected
		}
		return nil
	}); !errors.Is(err, errInjected) {
		t.Errorf("no event tells of it: %v", err)
	}
}

func TestDamagedOverridesArePutAside(t *testing.T) {
	for name, text := range map[string]string{
		"cut short": `{"shop": {"mode": "o`, "nothing": "", "another mode": `{"shop": {"mode": "maybe"}}`, "no part": `{"shop": {"mode": "shed", "shed": 7}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := sorryRig(t)
			path := overridesFile(r.config)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r.start()
			if aside, err := os.ReadFile(path + ".damaged"); err != nil || string(aside) != text {
				t.Errorf("put aside %q, %v", aside, err)
			}
			told := false
			err := r.client.Events(t.Context(), api.Query{N: -1}, func(e api.Event) error {
				told = told || strings.Contains(e.Reason, "is not known, say it again; the file is now "+path+".damaged")
				return nil
			})
			if !told || err != nil {
				t.Errorf("no event tells of it: %v", err)
			}
			r.say(api.Word{Services: []string{"shop"}, Mode: "on"})
			if text := r.file(); !strings.Contains(text, `"mode": "on"`) {
				t.Errorf("file %s", text)
			}
		})
	}
}

func TestOverridesThatCannotBeReadNorPutAside(t *testing.T) {
	r := sorryRig(t)
	path := overridesFile(r.config)
	if err := os.MkdirAll(path, 0o755); err != nil { // a folder is no file
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+".damaged", "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.start()
	if st := r.status(); len(st.Services) != 4 {
		t.Errorf("%+v", st)
	}
	if _, err := r.client.Sorry(context.Background(), api.Word{All: true, Mode: "on"}); err == nil {
		t.Error("kept in a folder")
	}
}

// Both sides of the interface name the same.
func TestOverrideOfStatus(t *testing.T) {
	r := sorryRig(t)
	r.start()
	r.say(api.Word{Services: []string{"shop"}, Mode: "shed", Fraction: 0.25, Page: "works"})
	got := r.status().Services[0].Override
	want := &api.Override{Mode: "shed", Page: "works", Fraction: 0.25}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(api.Override{}, "Since")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
