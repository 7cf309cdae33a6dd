// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"
)

func TestParseExpr(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		checks     []string
	}{
		{"web", "web", []string{"web"}},
		{" web ", "web", []string{"web"}},
		{"all(web,db)", "all(web, db)", []string{"web", "db"}},
		{"any( web ,db )", "any(web, db)", []string{"web", "db"}},
		{"atleast(2,a,b,c)", "atleast(2, a, b, c)", []string{"a", "b", "c"}},
		{"not(a)", "not(a)", []string{"a"}},
		{"all(any(a, b), not(all(a, c)))", "all(any(a, b), not(all(a, c)))", []string{"a", "b", "c"}},
		{"all", "all", []string{"all"}},
		{"all(all, not)", "all(all, not)", []string{"all", "not"}},
		{"any(web.1, db:2, x_y-z)", "any(web.1, db:2, x_y-z)", []string{"web.1", "db:2", "x_y-z"}},
		{"all(a)", "all(a)", []string{"a"}},
	} {
		t.Run(tc.text, func(t *testing.T) {
			e, err := ParseExpr(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if e.String() != tc.want || !slices.Equal(e.Checks(), tc.checks) {
				t.Errorf("%q of %v, want %q of %v", e, e.Checks(), tc.want, tc.checks)
			}
			if again, err := ParseExpr(e.String()); err != nil || again.String() != tc.want {
				t.Errorf("%q is read again as %q, %v", e, again, err)
			}
		})
	}
}

func TestParseExprMistakes(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "character 1: it ends where a check, or all(...), any(...), atleast(...) or not(...) should be"},
		{"all(web", "character 8: it ends where a comma, or the parenthesis that closes all( should be; within braces, put it in quotes"},
		{"all(web db)", `character 9: "db)" stands where a comma, or the parenthesis that closes all( should be`},
		{"all()", `character 5: ")" stands where a check,`},
		{"all(a,)", `character 7: ")" stands where a check,`},
		{"web and db", `character 5: "and db" after the end: to put several together, write all(web, ...) or any(web, ...)`},
		{"web, db", `character 4: ", db" after the end: to put`},
		{"al(web, db)", "character 1: there is no al(...) (did you mean all?): there are all, any, atleast and not"},
		{"all(a, nor(b))", "character 8: there is no nor(...)"},
		{"not(a, b)", "character 1: not takes one: write not(any(...)) or not(all(...))"},
		{"atleast(a, b)", "character 9: atleast begins with how many have to hold, as in atleast(2, a, b, c)"},
		{"atleast(0, b)", "character 9: atleast begins with how many"},
		{"atleast(3, a, b)", "character 1: atleast(3, ...) can never hold: it has 2 to choose from"},
		{"atleast(2)", `character 10: ")" stands where a comma after the number of atleast should be`},
		{"any(a, b, a)", "character 1: a stands there twice"},
		{"ü", `character 1: "ü" stands where a check`},
		{"all(é)", `character 5: "é)" stands where a check`},
		{strings.Repeat("not(", 30) + "a" + strings.Repeat(")", 30), "character 81: nested deeper than 20"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			if e, err := ParseExpr(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, error %v, want %q", e, err, tc.want)
			}
		})
	}
}

// FuzzParseExpr: what is read is written so that it is read the same.
func FuzzParseExpr(f *testing.F) {
	for _, seed := range []string{"all(a, any(b, not(c)))", "atleast(2, a, b)", "((", "a)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseExpr(text)
		if err != nil {
			return
		}
		if again, err := ParseExpr(e.String()); err != nil || again.String() != e.String() {
			t.Errorf("%q becomes %q becomes %q, %v", text, e, again, err)
		}
	})
}
