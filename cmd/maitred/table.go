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
	head   []string
	rows   [][]string
	widths []int // of the columns, so far
	paint  func(string) string
}

func newTable(head ...string) *table {
	t := &table{head: head, widths: make([]int, len(head)), paint: func(s string) string { return s }}
	t.measure(head)
	return t
}

func (t *table) row(cells ...string) {
	t.rows = append(t.rows, cells)
	t.measure(cells)
}

func (t *table) measure(cells []string) {
	for i, cell := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
}

// String lays the rows out; a table without any is empty.
func (t *table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	var b strings.Builder
	if t.head != nil {
		t.line(&b, t.head)
	}
	for _, row := range t.rows {
		t.line(&b, row)
	}
	return b.String()
}

// drain lays out what came since the last time, and forgets it: of a long table
// one part after another. Columns may get wider on the way.
func (t *table) drain() string {
	text := t.String()
	if text != "" {
		t.head, t.rows = nil, nil
	}
	return text
}

func (t *table) line(b *strings.Builder, cells []string) {
	gap := 0
	for i, cell := range cells {
		if cell == "" { // no blanks at the end of a line
			gap += t.widths[i] + 2
			continue
		}
		b.WriteString(strings.Repeat(" ", gap) + t.paint(cell))
		gap = t.widths[i] - utf8.RuneCountInString(cell) + 2
	}
	b.WriteByte('\n')
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
	case "unknown", "pending", "degraded", "drain", "linger", "shed", "backup", "falling", "rising", "not ready", "warn":
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
