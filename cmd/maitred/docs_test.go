// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/maps"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The guide explains every counter that an operator can see.
func TestGuideHasEveryVerdict(t *testing.T) {
	text := readDoc(t, "docs/operations.md")
	for v := range maps.Verdicts {
		if !strings.Contains(text, "\n| `"+v.String()+"` | ") {
			t.Errorf("no row for %v", v)
		}
	}
}

// Links of the documents lead to files and headings that there are.
func TestLinksOfDocuments(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	for _, doc := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/configuration.md", "docs/sorry.md", "docs/operations.md", "docs/checks.md", "docs/modules.md", "docs/sorry-server.md"} {
		for _, found := range link.FindAllStringSubmatch(readDoc(t, doc), -1) {
			target := doc
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(doc), found[1])
			}
			if _, err := os.Stat(filepath.Join("../..", target)); err != nil {
				t.Errorf("%s: %v", doc, err)
				continue
			}
			anchors := map[string]bool{"": true}
			if strings.HasSuffix(target, ".md") {
				for _, h := range heading.FindAllStringSubmatch(readDoc(t, target), -1) {
					anchors[anchor(h[1])] = true
				}
			}
			if !anchors[found[2]] {
				t.Errorf("%s: %s has no heading %q", doc, target, found[2])
			}
		}
	}
}

// anchor is a heading as links name it.
func anchor(heading string) string {
	plain := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(plain, " ", "-")
}
