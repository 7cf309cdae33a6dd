// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/checks.md anew")

// guideBegins is the part of docs/checks.md that no table knows.
const guideBegins = `# The kinds of checks

This page is written by ` + "`go test ./checkers/kind -run Guide -update`" + ` from the table in checkers/kind/registry.go.

A check is an object of its own. It has a name, one kind with its options, and a timing; pools name the checks that their servers
need. A run passes, fails, or passes a server as degraded; where the director itself could not run it, it is unknown and moves
nothing. A failure without a connection (refused, timeout, unreachable) takes a server down; any other drains it, since the host still
accepts connections. ` + "[configuration.md](configuration.md)" + ` has the keys that all checks share.

Every kind but those without a port also takes ` + "`port`" + `: what is asked; without it the server's own port, and without that the
one in the table. Where it is optional, a check of a server without one gets port 0, unless its command names {port} or {target}.
Options that end in _file name a file, relative to the file of the configuration.

`

// TestGuide holds docs/checks.md to the table.
func TestGuide(t *testing.T) {
	const file = "../../docs/checks.md"
	want := guideBegins + guide(NewTable(Env{}).Kinds())
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says: run go test ./checkers/kind -run Guide -update", file)
	}
}

// guide is a table of all kinds, and a section for each.
func guide(kinds []Kind) string {
	var b strings.Builder
	b.WriteString("| Kind | Port | What passes |\n|---|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", k.Name, k.Name, portCell(k), cell(k.Doc))
	}
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", k.Name, k.Doc)
		if len(k.Options) == 0 {
			b.WriteString("\nIt has no options.\n")
			continue
		}
		b.WriteString("\n| Option | Form | Default | |\n|---|---|---|---|\n")
		writeOptions(&b, k.Options, "")
	}
	return b.String()
}

func portCell(k Kind) string {
	switch {
	case k.Portless:
		return "none"
	case k.Foreign:
		return "optional"
	case k.DefaultPort == 0:
		return "needed"
	}
	return fmt.Sprint(k.DefaultPort)
}

func writeOptions(b *strings.Builder, options []Option, under string) {
	for _, o := range options {
		doc := o.Doc
		if len(o.Values) > 0 {
			doc += " One of `" + strings.Join(o.Values, "`, `") + "`."
		}
		value := ""
		if o.Default != "" {
			value = "`" + o.Default + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", under+o.Name, o.Form, cell(value), cell(doc))
		switch o.Form {
		case FormMap:
			writeOptions(b, o.Options, under+o.Name+".")
		case FormMaps:
			writeOptions(b, o.Options, under+o.Name+"[].")
		case FormText, FormNumber, FormFlag, FormDuration, FormSize, FormFile, FormList:
		}
	}
}

// cell keeps a text inside its cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
