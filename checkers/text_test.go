// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEnumText(t *testing.T) {
	type all struct {
		Outcomes []Outcome
		Classes  []Class
		Statuses []Status
	}
	var values all
	for o := OutcomeUnknown; o <= OutcomeFail; o++ {
		values.Outcomes = append(values.Outcomes, o)
	}
	for c := ClassNone; c <= ClassLocal; c++ {
		values.Classes = append(values.Classes, c)
	}
	for s := StatusUnknown; s <= StatusRising; s++ {
		values.Statuses = append(values.Statuses, s)
	}
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Outcomes":["unknown","pass","degraded","fail"],` +
		`"Classes":["none","refused","timeout","unreachable","stalled","tls","protocol","status","content","module","local"],` +
		`"Statuses":["unknown","up","falling","down","rising"]}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	var back all
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(back)
	if string(again) != want {
		t.Errorf("read back as %s", again)
	}
	if err := json.Unmarshal([]byte(`{"Classes":["bogus"]}`), &back); err == nil || !strings.Contains(err.Error(), `"bogus" is not the name of a class`) {
		t.Errorf("bogus class: %v", err)
	}
}

func TestEnumTextBeyond(t *testing.T) {
	if got, want := Outcome(9).String()+" "+Class(99).String()+" "+Status(77).String(), "outcome-9 class-99 status-77"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClip(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"short", "status 503", "status 503"},
		{"control characters", "a\r\nb\x1b[31m", "a??b?[31m"},
		{"broken UTF-8", "a\xffb", "a�b"},
		{"long", strings.Repeat("x", MaxMessage+1), strings.Repeat("x", MaxMessage-3) + "..."},
		{"just fits", strings.Repeat("x", MaxMessage), strings.Repeat("x", MaxMessage)},
		{"no half rune", strings.Repeat("é", MaxMessage), strings.Repeat("é", (MaxMessage-3)/2) + "..."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Clip(test.text, MaxMessage)
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if len(got) > MaxMessage || !utf8.ValidString(got) {
				t.Errorf("%d bytes, valid UTF-8: %v", len(got), utf8.ValidString(got))
			}
		})
	}
}
