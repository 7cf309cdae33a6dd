// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strconv"
	"strings"
)

// Expr tells when a server is up, of what its checks say: all(web, any(db, cache)).
// The zero value asks nothing.
type Expr struct {
	Op    Op
	Check string // of OpCheck
	Least int    // of OpAtLeast: how many of Of, 1 or more
	Of    []Expr // of all others; of OpNot one
}

// Op is what an Expr asks of its parts.
type Op uint8

// The operators. OpAtLeast asks for a number of its parts, OpCheck for one check.
const (
	OpAll Op = iota
	OpAny
	OpAtLeast
	OpNot
	OpCheck
)

// operators are the words that stand before a parenthesis.
var operators = map[string]Op{"all": OpAll, "any": OpAny, "atleast": OpAtLeast, "not": OpNot}

// AllOf asks that all of these checks pass.
func AllOf(checks []string) Expr {
	e := Expr{Op: OpAll}
	for _, name := range checks {
		e.Of = append(e.Of, Expr{Op: OpCheck, Check: name})
	}
	return e
}

// String writes the expression as ParseExpr reads it.
func (e Expr) String() string { return e.Text(func(check string) string { return check }) }

// Text writes the expression with what of says in place of each check.
func (e Expr) Text(of func(check string) string) string {
	var parts []string
	word := ""
	switch e.Op {
	case OpCheck:
		return of(e.Check)
	case OpAll:
		word = "all"
	case OpAny:
		word = "any"
	case OpNot:
		word = "not"
	case OpAtLeast:
		word, parts = "atleast", []string{strconv.Itoa(e.Least)}
	}
	for _, part := range e.Of {
		parts = append(parts, part.Text(of))
	}
	return word + "(" + strings.Join(parts, ", ") + ")"
}

// Checks names the checks of the expression, each once, in its order.
func (e Expr) Checks() []string {
	if e.Op == OpCheck {
		return []string{e.Check}
	}
	var names []string
	for _, part := range e.Of {
		for _, name := range part.Checks() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Needs is how many of its parts have to hold; OpNot and OpCheck need none.
func (e Expr) Needs() int {
	switch e.Op {
	case OpAll:
		return len(e.Of)
	case OpAny:
		return 1
	case OpAtLeast:
		return e.Least
	case OpNot, OpCheck:
	}
	return 0
}

// When tells when a server of the pool is up.
func (p Pool) When() Expr {
	if p.UpWhen.Op == OpAll && len(p.UpWhen.Of) == 0 {
		return AllOf(p.Checks)
	}
	return p.UpWhen
}
