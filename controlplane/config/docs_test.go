// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The guide's tables have every key and every default.
func TestGuideHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]string{} // by key: the default
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		for _, key := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			cells[key[1]] = row[2]
		}
	}
	all := forms(reflect.TypeFor[raw](), "")
	for _, form := range all {
		holdsKeys := slices.ContainsFunc(all, func(other string) bool {
			return strings.HasPrefix(other, form+".") || strings.HasPrefix(other, form+"[].")
		})
		if _, ok := cells[form]; !ok && !holdsKeys {
			t.Errorf("%s is in no table", form)
		}
	}
	for form, value := range defaults() {
		if d, ok := value.(time.Duration); ok {
			value = short(d)
		}
		if want := fmt.Sprintf("`%v`", value); cells[form] != want {
			t.Errorf("%s: the guide says %s, the default is %s", form, cells[form], want)
		}
	}
}

// The examples of the guide load.
func TestGuideExamplesLoad(t *testing.T) {
	cert, key := certificate(t, 365*24*time.Hour)
	for _, name := range []string{"configuration.md", "sorry.md", "sorry-server.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		examples := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
		if len(examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		for i, example := range examples {
			config := example[1]
			files := map[string]string{
				"m.yaml": config, "closed.html": "closed", "cookie.key": strings.Repeat("k", leastSecret),
				"shop.pem": cert, "shop.key": key,
			}
			var have []string
			for _, part := range []string{director, pool, service} {
				key, _, _ := strings.Cut(part, " ")
				switch {
				case !strings.Contains(config, key):
					files["m.yaml"] += part
				case part == director && !strings.Contains(config, "interfaces:"):
					files["rest.yaml"], have = part, []string{"rest.yaml"}
				}
			}
			if _, err := fake(files, nil).load(append([]string{"m.yaml"}, have...)); err != nil {
				t.Errorf("%s, example %d:\n%v", name, i+1, err)
			}
		}
	}
}
