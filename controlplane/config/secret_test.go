// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

// What the environment says is in no message: logs are read by many.
func TestMessagesShowNoSecrets(t *testing.T) {
	for name, test := range map[string]struct {
		value string // of ${S}
		lines string
		want  string
	}{
		"header":          {"s3cret\x01", "checks:\n- name: a\n  http:\n    headers:\n    - name: Authorization\n      value: Bearer ${S}\n", "maitred.yaml:9: checks[0].http.headers[0].value: holds a control character"},
		"name of header":  {"s3 cret", "checks:\n- name: a\n  http:\n    headers:\n    - name: X-${S}\n      value: b\n", `maitred.yaml:8: checks[0].http.headers[0].name: "X-${S}" is not the name of a header field: ' ' is not allowed`},
		"path":            {"s3cret", "checks:\n- name: a\n  http:\n    path: ${S}\n", `maitred.yaml:7: checks[0].http.path: "${S}" does not begin with a slash: write it as /healthz`},
		"path of a URL":   {"s3cret%zz", "checks:\n- name: a\n  http:\n    path: /${S}\n", `maitred.yaml:7: checks[0].http.path: "/${S}" is not a path of a URL: parse "http://target/${S}": invalid URL escape "..."`},
		"part of a host":  {"a:s3cret", "checks:\n- name: a\n  http:\n    host: ${S}\n", `maitred.yaml:7: checks[0].http.host: "..." is not a port: they go from 1 to 65535`},
		"port of a check": {"s3cret", "checks:\n- name: a\n  http:\n    port: ${S}\n", "maitred.yaml:7: checks[0].http.port: ${S} is not a port: 1 to 65535"},
		"number":          {"s3cret", "health: {defaults: {rise: \"${S}\"}}\n", `maitred.yaml:4: health.defaults.rise: "${S}" is not a whole number`},
		"range":           {"0", "health: {defaults: {rise: \"${S}\"}}\n", "maitred.yaml:4: health.defaults.rise: ${S} is out of range: 1 to 1000"},
		"duration":        {"s3cret", "health: {defaults: {timeout: \"${S}\"}}\n", `maitred.yaml:4: health.defaults.timeout: "${S}" is not a duration: say 500ms, 5s or 2m`},
		"no unit":         {"41", "health: {defaults: {timeout: \"${S}\"}}\n", "maitred.yaml:4: health.defaults.timeout: ${S} has no unit: say ${S}s"},
		"socket":          {"s3cret", "admin: {socket: \"x${S}y\"}\n", `maitred.yaml:4: admin.socket: "x${S}y" is not an absolute path`},
		"page":            {"s3cret\n", "pages: [{name: p, headers: [{name: \"X${S}\", value: a}]}]\n", `maitred.yaml:4: pages[0].headers[0].name: "X${S}" is not a header name: letters, digits and !#$%&'*+-.^_` + "`|~"},
		"file":            {"s3cret", "pages: [{name: p, body_file: \"${S}\"}]\n", `maitred.yaml:4: pages[0].body_file: "${S}" cannot be read: file does not exist`},
		"include":         {"s3cret", "include: [\"${S}\"]\n", `maitred.yaml:4: include[0]: there is no file "${S}"`},
	} {
		t.Run(name, func(t *testing.T) {
			l := fake(map[string]string{"maitred.yaml": minimal + test.lines}, map[string]string{"S": test.value})
			_, err := l.load([]string{"maitred.yaml"})
			checkErrors(t, err, []string{test.want})
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "s3") {
				t.Errorf("the message shows the value: %v", err)
			}
		})
	}
}
