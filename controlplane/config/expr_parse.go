// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// deepest is how far expressions may be nested: more is a mistake, and no reason to
// run out of stack.
const deepest = 20

// ParseExpr reads an expression:
//
//	EXPR = CHECK | all(EXPR, ...) | any(EXPR, ...) | atleast(N, EXPR, ...) | not(EXPR)
//
// A name is an operator only before a parenthesis. An error tells at which character
// what is wrong, and what would be right.
func ParseExpr(text string) (Expr, error) {
	p := exprParser{text: text}
	e, err := p.expr(0)
	if err != nil {
		return Expr{}, err
	}
	if p.space(); p.at < len(text) {
		return Expr{}, p.wrong(p.at, "%q after the end: to put several together, write all(%s, ...) or any(%s, ...)", p.rest(), e, e)
	}
	return e, nil
}

// exprParser reads from left to right.
type exprParser struct {
	text string
	at   int // in bytes
}

func (p *exprParser) expr(depth int) (Expr, error) {
	p.space()
	start := p.at
	word := p.word()
	if word == "" {
		return Expr{}, p.expected("a check, or all(...), any(...), atleast(...) or not(...)")
	}
	if p.space(); !p.take('(') {
		return Expr{Op: OpCheck, Check: word}, nil
	}
	op, known := operators[word]
	switch {
	case !known:
		return Expr{}, p.wrong(start, "there is no %s(...)%s: there are all, any, atleast and not", word, DidYouMean(word, []string{"all", "any", "atleast", "not"}))
	case depth >= deepest:
		return Expr{}, p.wrong(start, "nested deeper than %d", deepest)
	}
	e := Expr{Op: op}
	if op == OpAtLeast {
		if err := p.least(&e); err != nil {
			return Expr{}, err
		}
	}
	for {
		part, err := p.expr(depth + 1)
		if err != nil {
			return Expr{}, err
		}
		e.Of = append(e.Of, part)
		switch p.space(); {
		case p.take(','):
		case p.take(')'):
			return e, p.fits(start, e)
		default:
			return Expr{}, p.expected(fmt.Sprintf("a comma, or the parenthesis that closes %s(", word))
		}
	}
}

// least reads the number of atleast and the comma after it.
func (p *exprParser) least(e *Expr) error {
	p.space()
	start := p.at
	n, err := strconv.Atoi(p.word())
	if err != nil || n < 1 {
		return p.wrong(start, "atleast begins with how many have to hold, as in atleast(2, a, b, c)")
	}
	e.Least = n
	if p.space(); !p.take(',') {
		return p.expected("a comma after the number of atleast")
	}
	return nil
}

// fits reports what can never hold, and what is asked twice.
func (p *exprParser) fits(start int, e Expr) error {
	switch {
	case e.Op == OpNot && len(e.Of) > 1:
		return p.wrong(start, "not takes one: write not(any(...)) or not(all(...))")
	case e.Needs() > len(e.Of):
		return p.wrong(start, "atleast(%d, ...) can never hold: it has %d to choose from", e.Least, len(e.Of))
	}
	for i, part := range e.Of {
		same := func(other Expr) bool { return other.String() == part.String() }
		if slices.ContainsFunc(e.Of[:i], same) {
			return p.wrong(start, "%s stands there twice", part)
		}
	}
	return nil
}

func (p *exprParser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t' || p.text[p.at] == '\n') {
		p.at++
	}
}

// word takes what could be a name; empty: there is none.
func (p *exprParser) word() string {
	start := p.at
	for p.at < len(p.text) && nameRune(rune(p.text[p.at])) {
		p.at++
	}
	return p.text[start:p.at]
}

func (p *exprParser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// rest is the beginning of what is not read yet.
func (p *exprParser) rest() string {
	const most = 10
	rest := []rune(p.text[p.at:])
	return string(rest[:min(len(rest), most)])
}

func (p *exprParser) expected(what string) error {
	switch {
	case p.at == len(p.text) && p.at > 0: // in YAML, {up_when: all(a, b)} ends at the comma
		return p.wrong(p.at, "it ends where %s should be; within braces, put it in quotes", what)
	case p.at == len(p.text):
		return p.wrong(p.at, "it ends where %s should be", what)
	}
	return p.wrong(p.at, "%q stands where %s should be", p.rest(), what)
}

func (p *exprParser) wrong(at int, format string, args ...any) error {
	return fmt.Errorf("character %d: %s", utf8.RuneCountInString(p.text[:at])+1, fmt.Sprintf(format, args...))
}
