// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mistake is a configuration and all that is wrong with it.
type mistake struct {
	text string
	want []string
}

func testMistakes(t *testing.T, mistakes map[string]mistake) {
	t.Helper()
	for name, test := range mistakes {
		t.Run(name, func(t *testing.T) {
			cfg, err := parse(test.text)
			if cfg != nil || err == nil {
				t.Fatalf("no error, but %+v", cfg)
			}
			checkErrors(t, err, test.want)
		})
	}
}

func checkErrors(t *testing.T, err error, want []string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	var all Errors
	if !errors.As(err, &all) || len(all) != len(want) {
		t.Errorf("%T with %d problems, want Errors with %d", err, len(all), len(want))
	}
}

func TestMistakesOfYAML(t *testing.T) {
	testMistakes(t, map[string]mistake{
		"empty file":       {"", []string{"maitred.yaml: is empty"}},
		"comments only":    {"# nothing\n", []string{"maitred.yaml: is empty"}},
		"null":             {"~\n", []string{"maitred.yaml: is empty"}},
		"list at the top":  {"# x\n- a\n", []string{"maitred.yaml:2: is a list, not keys such as director: and services:"}},
		"text at the top":  {"hello\n", []string{"maitred.yaml:1: is a single value, not keys such as director: and services:"}},
		"tab":              {"director:\n\tname: x\n", []string{"maitred.yaml:2: is not YAML: the line is indented with a tab, use spaces"}},
		"tab after spaces": {"director:\n  name: x\n  \tattach: tc\n", []string{"maitred.yaml:3: is not YAML: the line is indented with a tab, use spaces"}},
		"unclosed list":    {"director: {interfaces: [eth0}\n", []string{"maitred.yaml:1: is not YAML: did not find expected ',' or ']'"}},
		"indented too far": {"director:\n  interfaces: [eth0]\n  attach: tc\n   name: x\nservices: []\n", []string{"maitred.yaml:4: is not YAML: mapping values are not allowed in this context"}},
		"indented too little": {"admin:\n  socket: /x\n\ndirector:\n  name: x\n attach: tc\nservices: []\n", []string{
			"maitred.yaml:6: is not YAML: did not find expected key"}},
		"list open for long": {director + "checks:\n  - {name: web, http: {path: /x}\n  - {name: b}\n", []string{"maitred.yaml:3: is not YAML: did not find expected ',' or '}'"}},
		"quotes left open":   {director + "pages:\n  - name: \"abc\npools: []\n", []string{"maitred.yaml:3: is not YAML: found unexpected end of stream"}},
		"no such anchor":     {director + "pools: *app\n", []string{"maitred.yaml:2: is not YAML: unknown anchor 'app' referenced"}},
		"binary":             {"\x00\x01", []string{"maitred.yaml: is not YAML: control characters are not allowed"}},
		"variable in flow":   {"director: {name: ${HOST}}\n", []string{"maitred.yaml:1: is not YAML: did not find expected ',' or '}' (within {} and [] put ${NAME} in quotes)"}},
		"second document":    {minimal + "---\na: b\n", []string{`maitred.yaml:4: a second document begins here: a file has one, without "---"`}},
		"duplicate key":      {minimal + "admin: {}\nadmin: {}\n", []string{"maitred.yaml:5: admin: is given twice: first at maitred.yaml:4"}},
		"duplicate in item":  {minimal + "pages:\n  - name: a\n    status: 502\n    status: 503\n", []string{"maitred.yaml:7: pages[0].status: is given twice: first at maitred.yaml:6"}},
		"duplicate list":     {minimal + "pools: []\n", []string{"maitred.yaml:4: pools: is given twice: first at maitred.yaml:2"}},
		"duplicate option":   {minimal + "checks:\n  - name: a\n    http:\n      path: /a\n      path: /b\n", []string{"maitred.yaml:8: checks[0].http.path: is given twice: first at maitred.yaml:7"}},
		"alias in itself":    {minimal + "checks: [{name: a, http: &x {path: *x}}]\n", []string{"maitred.yaml:4: checks[0].http.path: holds itself through the alias *x"}},
		"merge key":          {minimal + "admin:\n  <<: {socket: /x}\n", []string{"maitred.yaml:5: admin.<<: is a merge key, which is not read here: write the keys out"}},
		"tag":                {minimal + "admin: {socket: !secret x}\n", []string{"maitred.yaml:4: admin.socket: has the tag !secret: tags are not used here"}},
	})
}

func TestAliasesCannotGrow(t *testing.T) {
	text := minimal + "checks:\n  - name: x\n    http:\n      a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
	for c := 'b'; c < 'j'; c++ {
		text += "      " + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+", ", 9) + "*" + string(c-1) + "]\n"
	}
	_, err := parse(text)
	if err == nil || !strings.Contains(err.Error(), "maitred.yaml: has more than 200000 values, aliases counted as what they stand for") {
		t.Errorf("got %.300v", err)
	}
}

func TestMistakesOfKeysAndTypes(t *testing.T) {
	testMistakes(t, map[string]mistake{
		"misspelt at the top": {minimal + "sevices: []\n", []string{"maitred.yaml:4: sevices: is not a key here (did you mean services?)"}},
		"nothing like it": {minimal + "elephant: 1\n", []string{
			"maitred.yaml:4: elephant: is not a key here: one of admin, checks, director, health, include, pages, pools, services"}},
		"modules are not built":   {minimal + "modules: []\n", []string{"maitred.yaml:4: modules: is not a key here: one of admin, checks, director, health, include, pages, pools, services"}},
		"admin.http is not built": {minimal + "admin: {http: \":1\"}\n", []string{"maitred.yaml:4: admin.http: is not a key here: one of socket"}},
		"misspelt in a map":       {minimal + "health:\n  defaults:\n    intervall: 5s\n", []string{"maitred.yaml:6: health.defaults.intervall: is not a key here (did you mean interval?)"}},
		"misspelt in an item": {director + service + "pools:\n  - name: app\n    servers:\n      - adress: 10.0.0.1\n", []string{
			"maitred.yaml:6: pools[0].servers[0].adress: is not a key here (did you mean address?)"}},
		"capital letter":  {minimal + "admin:\n  Socket: /x\n", []string{"maitred.yaml:5: admin.Socket: is not a key here (did you mean socket?)"}},
		"type twice":      {minimal + "checks:\n- name: a\n  tcp: {}\n  tcp: {}\n", []string{"maitred.yaml:7: checks[0].tcp: is given twice: first at maitred.yaml:6"}},
		"wrong key twice": {minimal + "admin:\n  a: 1\n  a: 2\n", []string{"maitred.yaml:5: admin.a: is not a key here: one of socket"}},
		"list for number": {minimal + "health: {defaults: {rise: [1]}}\n", []string{"maitred.yaml:4: health.defaults.rise: is a list, not a single value"}},
		"list for time":   {minimal + "health: {defaults: {timeout: [1s]}}\n", []string{"maitred.yaml:4: health.defaults.timeout: is a list, not a single value"}},
		"item for text":   {"director: {interfaces: [eth0, [a]]}\n" + pool + service, []string{"maitred.yaml:1: director.interfaces[1]: is a list, not a single value"}},
		"text for a server": {director + service + "pools: [{name: app, servers: [10.0.0.1]}]\n", []string{
			"maitred.yaml:3: pools[0].servers[0]: is a single value, not a map of keys: write {address: 10.0.0.1}"}},
		"text for a server of IPv6": {director + service + "pools:\n- name: app\n  servers:\n  - 2001:db8::1\n", []string{
			`maitred.yaml:6: pools[0].servers[0]: is a single value, not a map of keys: write {address: "2001:db8::1"}`}},
		"number for a quorum": {director + pool + "services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: app, quorum: 2}]\n", []string{
			"maitred.yaml:3: services[0].quorum: is a single value, not a map of keys: write {min: 2}"}},
		"list for a quorum": {director + pool + "services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: app, quorum: [2]}]\n", []string{
			"maitred.yaml:3: services[0].quorum: is a list, not a map of keys"}},
		"text for item":    {minimal + "checks: [web]\n", []string{"maitred.yaml:4: checks[0]: is a single value, not a map of keys"}},
		"key of two lines": {minimal + "admin: {\"a\\nb\": 1}\n", []string{"maitred.yaml:4: admin.a\uFFFDb: is not a key here: one of socket"}},
		"misspelt type":    {minimal + "checks: [{name: a, htpp: {}}]\n", []string{"maitred.yaml:4: checks[0].htpp: is not a key here (did you mean http?)"}},
		"capital option": {minimal + "checks: [{name: a, http: {Path: /}}]\n", []string{
			"maitred.yaml:4: checks[0].http.Path: is not an option: options are written in small letters, digits and _"}},
		"map for text":     {minimal + "admin: {socket: {a: b}}\n", []string{"maitred.yaml:4: admin.socket: is a map of keys, not a single value"}},
		"list for text":    {minimal + "admin: {socket: [a]}\n", []string{"maitred.yaml:4: admin.socket: is a list, not a single value"}},
		"list for a map":   {minimal + "admin: [socket]\n", []string{"maitred.yaml:4: admin: is a list, not a map of keys"}},
		"text for a map":   {minimal + "admin: socket\n", []string{"maitred.yaml:4: admin: is a single value, not a map of keys"}},
		"map for a list":   {minimal + "checks: {web: {}}\n", []string{`maitred.yaml:4: checks: is a map of keys, not a list: begin each item with "- "`}},
		"text for a list":  {"director: {interfaces: eth0}\n" + pool + service, []string{"maitred.yaml:1: director.interfaces: is a single value, not a list: put it in brackets, as in [a, b]"}},
		"text for options": {minimal + "checks: [{name: a, http: /x}]\n", []string{"maitred.yaml:4: checks[0].http: is a single value, not options: write http: {}"}},
		"text for number":  {minimal + "health: {defaults: {rise: two}}\n", []string{`maitred.yaml:4: health.defaults.rise: "two" is not a whole number`}},
		"half a number":    {minimal + "health: {defaults: {rise: 1.5}}\n", []string{`maitred.yaml:4: health.defaults.rise: "1.5" is not a whole number`}},
		"huge number":      {minimal + "health: {defaults: {rise: 99999999999999999999}}\n", []string{`maitred.yaml:4: health.defaults.rise: "99999999999999999999" is not a whole number`}},
		"no unit":          {minimal + "health: {defaults: {interval: 5}}\n", []string{"maitred.yaml:4: health.defaults.interval: 5 has no unit: say 5s"}},
		"no duration":      {minimal + "health: {defaults: {interval: 5 s}}\n", []string{`maitred.yaml:4: health.defaults.interval: "5 s" is not a duration: say 500ms, 5s or 2m`}},
		"no value":         {minimal + "admin: {socket: }\n", []string{"maitred.yaml:4: admin.socket: is empty: give a value or remove the key"}},
		"line break": {minimal + "health: {defaults: {rise: \"a\\nb\"}}\n", []string{
			`maitred.yaml:4: health.defaults.rise: "a\nb" is not a whole number`}},
		"variable unset": {minimal + "admin: {socket: \"/run/${NOWHERE}\"}\n", []string{"maitred.yaml:4: admin.socket: the environment has no NOWHERE"}},
		"variable unclosed": {minimal + "admin: {socket: \"/run/${X\"}\n", []string{
			`maitred.yaml:4: admin.socket: has "${" without a name and "}" after it: write ${NAME} for the environment, $${ for a plain ${`}},
	})
}

// What a file cannot be is told once, and no more is said of it.
func TestMistakesOfSeveralFiles(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"no file": {map[string]string{}, []string{"m.yaml: cannot be read: file does not exist"}},
		"too large": {map[string]string{"m.yaml": strings.Repeat("#", maxFile+1)}, []string{
			"m.yaml: is larger than 4194304 bytes"}},
		"no such include": {map[string]string{"m.yaml": minimal + "include: [a.yaml]\n"}, []string{
			`m.yaml:4: include[0]: there is no file "a.yaml"`}},
		"bad pattern": {map[string]string{"m.yaml": minimal + "include: ['[']\n"}, []string{
			`m.yaml:4: include[0]: "[" is not a pattern of file names: syntax error in pattern`}},
		"scalar in two": {map[string]string{
			"m.yaml": "include: [b.yaml]\n" + minimal + "admin: {socket: /a}\n",
			"b.yaml": "admin:\n  socket: /b\n",
		}, []string{"b.yaml:2: admin.socket: is given twice: first at m.yaml:5"}},
		"include in include": {map[string]string{
			"m.yaml": "include: [b.yaml]\n" + minimal, "b.yaml": "include: [m.yaml]\n",
		}, []string{"b.yaml:1: include[0]: stands in an included file: only m.yaml can include"}},
		"broken include keeps quiet on what it may hold": {map[string]string{
			"m.yaml": "include: [b.yaml]\n" + director + service + "admin: {sokcet: /a}\n", "b.yaml": "pools: [\n",
		}, []string{
			"b.yaml:1: is not YAML: did not find expected node content",
			"m.yaml:4: admin.sokcet: is not a key here (did you mean socket?)",
		}},
		"items are counted in their file": {map[string]string{
			"m.yaml": "include: ['*.yaml']\n" + minimal,
			"z.yaml": "services:\n  - name: two\n    addresses: [192.0.2.1]\n    ports: [80]\n    pool: app\n  - name: shop\n    addresses: [192.0.2.3]\n    ports: [0]\n    pool: none\n",
		}, []string{
			`z.yaml:4: services[0].ports: 192.0.2.1:80/tcp belongs to service "shop" already: m.yaml:4`,
			`z.yaml:6: services[1].name: "shop" is given twice: first at m.yaml:4`,
			"z.yaml:8: services[1].ports[0]: 0 is not a port: 1 to 65535",
			`z.yaml:9: services[1].pool: there is no pool "none"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := fake(test.files, nil).load([]string{"m.yaml"})
			if cfg != nil || err == nil {
				t.Fatalf("no error, but %+v", cfg)
			}
			checkErrors(t, err, test.want)
		})
	}
}

func TestReadFails(t *testing.T) {
	l := fake(map[string]string{"maitred.yaml": minimal + "pages: [{name: a, body_file: b}]\n"}, nil)
	read := l.read
	l.read = func(path string, limit int) ([]byte, error) {
		if path == "b" {
			return nil, &fs.PathError{Op: "read", Path: path, Err: fs.ErrPermission}
		}
		return read(path, limit)
	}
	_, err := l.load([]string{"maitred.yaml"})
	checkErrors(t, err, []string{`maitred.yaml:4: pages[0].body_file: "b" cannot be read: permission denied`})
	l.hostname = func() (string, error) { return "", errors.New("no name") }
	_, err = l.load([]string{"maitred.yaml"})
	checkErrors(t, err, []string{
		"maitred.yaml:1: director.name: is missing: this machine has no host name to take instead",
		`maitred.yaml:4: pages[0].body_file: "b" cannot be read: permission denied`,
	})
}
