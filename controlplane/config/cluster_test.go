// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCookieKeyFile(t *testing.T) {
	of := func(content string) (*Config, error) {
		file := "director: {name: a, interfaces: [eth0], cookie_key_file: keys/cookie}\n" + pool + service
		return fake(map[string]string{"etc/m.yaml": file, "etc/keys/cookie": content}, nil).load([]string{"etc/m.yaml"})
	}
	good := strings.Repeat("k", leastSecret)
	cfg, err := of(good)
	if err != nil {
		t.Fatal(err)
	}
	secret := cfg.Director.CookieSecret
	if secret == (Secret{}) {
		t.Fatal("there is no secret")
	}
	for _, form := range []string{"%v", "%s", "%#v", "%+v"} {
		if got := fmt.Sprintf(form, secret); got != "hidden" {
			t.Errorf("%s prints %s", form, got)
		}
		if got := fmt.Sprintf(form, cfg.Director); !strings.Contains(got, "hidden") {
			t.Errorf("%s prints a director without hiding the secret: %s", form, got)
		}
	}
	if again, err := of("\n" + good + " \n"); err != nil || again.Director.CookieSecret != secret {
		t.Errorf("white space at the ends makes another secret: %v", err)
	}
	if other, err := of(good + "k"); err != nil || other.Director.CookieSecret == secret {
		t.Errorf("another content, the same secret: %v", err)
	}
	for content, want := range map[string]string{
		"":                           `"etc/keys/cookie" has 0 bytes, a secret has 32 at least: openssl rand -base64 48 makes one`,
		good[1:] + "\n\n":            `"etc/keys/cookie" has 31 bytes, a secret has 32 at least: openssl rand -base64 48 makes one`,
		strings.Repeat("long", 2000): `"etc/keys/cookie" has more than 4096 bytes: it is not a file with a secret`,
	} {
		if _, err := of(content); err == nil || !strings.HasSuffix(err.Error(), "director.cookie_key_file: "+want) {
			t.Errorf("%d bytes: %v\nwant %s", len(content), err, want)
		}
	}
}

func TestAbsence(t *testing.T) {
	of := func(absence string) (*Config, error) {
		return parse("director: {name: a, interfaces: [eth0], absence: " + absence + "}\n" + pool + service)
	}
	cfg, err := of("{policy: sorry, after: 1m}")
	if err != nil || cfg.Director.Absence != AbsenceSorry || cfg.Director.AbsentAfter != time.Minute {
		t.Errorf("%v, %+v", err, cfg)
	}
	for absence, want := range map[string]string{
		"{policy: psas}":  `director.absence.policy: "psas" is not what the kernel can do without a daemon (did you mean pass?)`,
		"{after: 1s}":     `director.absence.after: 1s is out of range: 5s to 24h`,
		"{after: 5500ms}": `director.absence.after: 5.5s is not a number of whole seconds`,
	} {
		if _, err := of(absence); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", absence, err, want)
		}
	}
}
