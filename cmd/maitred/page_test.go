// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

func runPage(t *testing.T, args ...string) outcome {
	t.Helper()
	return run(t, env{}, append(append([]string{"page"}, args...), "--config", "testdata/pages.yaml")...)
}

func TestPageList(t *testing.T) {
	got := runPage(t, "list")
	if got.code != exitDone || got.stderr != "" {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	golden(t, "page_list.golden", got.stdout)
}

func TestPageShowProtocols(t *testing.T) {
	var all strings.Builder
	for _, name := range []string{"closed", "mail", "mysql", "names"} {
		got := runPage(t, "show", name)
		if got.code != exitDone || got.stderr != "" {
			t.Errorf("%s: exit %d, stderr %q", name, got.code, got.stderr)
		}
		all.WriteString(got.stdout + "\n")
	}
	golden(t, "page_protocols.golden", all.String())
}

func TestPageShowOfAClient(t *testing.T) {
	for _, test := range []struct {
		args     []string
		encoding string
		body     string
	}{
		{nil, "", "<!DOCTYPE html>"},
		{[]string{"--encoding", "gzip"}, "gzip", "\x1f\x8b"},
		{[]string{"--encoding", "gzip,br"}, "br", ""},
		{[]string{"--host", "SHOP.example:80", "--encoding", "gzip"}, "", "<p>The shop is closed."},
	} {
		got := runPage(t, append([]string{"show", "closed", "--raw"}, test.args...)...)
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got.stdout)), nil)
		if err != nil {
			t.Fatalf("%v: %v", test.args, err)
		}
		_ = resp.Body.Close()
		_, body, _ := strings.Cut(got.stdout, "\r\n\r\n")
		if resp.Header.Get("Content-Encoding") != test.encoding || !strings.HasPrefix(body, test.body) || got.stderr != "" {
			t.Errorf("%v: %v, body %.20q", test.args, resp.Header, body)
		}
	}
	if got := runPage(t, "show", "closed", "--raw", "--tls"); got != (outcome{exitDone, strings.Repeat("\x15\x03\x03\x00\x02\x01\x5a", 4) + "\x15\x03\x03\x00\x02\x02\x50", ""}) {
		t.Errorf("by TLS: %+v", got)
	}
	if got := runPage(t, "show", "closed", "--host", "shop.example"); !strings.Contains(got.stdout, "\nclosed, variant 1 of 4: ") {
		t.Errorf("of the shop:\n%s", got.stdout)
	}
}

func TestPageShowOfAService(t *testing.T) {
	got := runPage(t, "show", "whose", "--raw", "--service", "others")
	if got.code != exitDone || !strings.HasSuffix(got.stdout, "\r\n\r\n<p>others is down.\n") {
		t.Errorf("%+v", got)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"show", "whose"}, `page "whose" is another for each service: say which with --service: shop, mail, db, names, others`},
		{[]string{"show", "whose", "--service", "othres"}, `there is no service "othres" (did you mean others?): there are shop, mail, db, names, others`},
		{[]string{"show", "closed", "--encoding", "zip"}, `a page has no encoding "zip": gzip or br`},
	} {
		if got := runPage(t, test.args...); got.code != exitUsage || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%v: %+v, want %s", test.args, got, test.want)
		}
	}
}

// What a page is said to cost is what the kernel's tables are given.
func TestPageMemory(t *testing.T) {
	cfg, err := config.Load("testdata/pages.yaml")
	if err != nil {
		t.Fatal(err)
	}
	closed, _ := cfg.Page("closed")
	if got := pageMemory(closed.Image); got != 4*maps.PageMemory {
		t.Errorf("%d bytes, want those of the page, the shop's and two codings", got)
	}
}
