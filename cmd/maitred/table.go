// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table is rows of text in columns. Colour comes last, so that it does not
// count in the width.
type table struct {
	rows  [][]string
	paint func(string) string
}

func newTable(head ...string) *table {
	return &table{rows: [][]string{head}, paint: func(s string) string { return s }}
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// String lays the rows out; a table without any is empty.
func (t *table) String() string {
	if len(t.rows) == 1 {
		return ""
	}
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		gap := 0
		for i, cell := range row {
			if cell == "" { // no blanks at the end of a line
				gap += widths[i] + 2
				continue
			}
			b.WriteString(strings.Repeat(" ", gap) + t.paint(cell))
			gap = widths[i] - utf8.RuneCountInString(cell) + 2
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// paint gives a word for a state its colour, where there may be any: green is
// well, yellow on the way, red not well.
func (a *app) paint(word string) string {
	if !a.colour() {
		return word
	}
	switch word {
	case "up", "serve", "in sync", "ready", "ok":
		return "\x1b[32m" + word + "\x1b[0m"
	case "unknown", "pending", "drain", "linger", "falling", "rising", "not ready", "warn":
		return "\x1b[33m" + word + "\x1b[0m"
	case "down", "sorry", "out of sync", "fail":
		return "\x1b[31m" + word + "\x1b[0m"
	}
	return word
}

// badOutput is the error for a format that there is not.
func badOutput(got string, known ...string) error {
	return &failure{code: exitUsage, err: fmt.Errorf("-o %s: the formats are %s", got, strings.Join(known, ", "))}
}
