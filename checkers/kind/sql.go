// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// maxRows is how many rows of an answer are looked at.
const maxRows = 100

// rowset is what a database answers to a query. A value that is nil is NULL.
type rowset struct {
	columns []string
	rows    [][]*string
}

// value is that of a column in a row; nil where it is NULL or there is none.
func (r rowset) value(row int, columns ...string) *string {
	for i, name := range r.columns {
		for _, wanted := range columns {
			if name == wanted && row < len(r.rows) && i < len(r.rows[row]) {
				return r.rows[row][i]
			}
		}
	}
	return nil
}

// asker puts a query to a database.
type asker func(query string) (rowset, error)

// question is a query of the operator's and what its first value must be like.
type question struct {
	query    string // empty: none
	match    *regexp.Regexp
	min, max *int
}

func questionOptions() []Option {
	return []Option{
		{Name: "query", Form: FormText, Doc: "A query, of which the first value of the first row is looked at: it must be there and not NULL."},
		{Name: "expect", Form: FormMap, Doc: "What that value must be like.", Options: []Option{
			{Name: "match", Form: FormText, Doc: "A regular expression (Go's package regexp) that it must match."},
			{Name: "min", Form: FormNumber, Doc: "The least number that it may be."},
			{Name: "max", Form: FormNumber, Doc: "The greatest number that it may be."},
		}},
	}
}

func readQuestion(o *options) question {
	q := question{query: o.text("query", "")}
	expect := o.in("expect")
	q.match = expect.pattern("match")
	q.min, q.max = expect.bound("min"), expect.bound("max")
	if q.min != nil && q.max != nil && *q.min > *q.max {
		expect.reject([]string{"min"}, "%d is greater than max, which is %d", *q.min, *q.max)
	}
	if _, ok := o.values["expect"]; ok && q.query == "" {
		o.reject([]string{"expect"}, "has no effect without query: give one, or remove it")
	}
	return q
}

// bound reads a number that need not be there.
func (o *options) bound(key string) *int {
	const far = 1 << 52 // whole numbers below are exact as floating ones
	n := o.number(key, 0, -far, far)
	if _, ok := o.values[key]; !ok {
		return nil
	}
	return &n
}

// put asks the question and returns the value.
func (q question) put(ask asker) (string, error) {
	answer, err := ask(q.query)
	if err != nil {
		return "", err
	}
	if len(answer.rows) == 0 || len(answer.rows[0]) == 0 {
		return "", found(checkers.ClassContent, "the query returns no row")
	}
	value := answer.rows[0][0]
	if value == nil {
		return "", found(checkers.ClassContent, "the query returns NULL")
	}
	return *value, q.judge(*value)
}

func (q question) judge(value string) error {
	shown := checkers.Clip(value, 80)
	if q.match != nil && !q.match.MatchString(value) {
		return found(checkers.ClassContent, "the query returns %q, which does not match %q", shown, q.match)
	}
	if q.min == nil && q.max == nil {
		return nil
	}
	number, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil:
		return found(checkers.ClassContent, "the query returns %q, which is not a number", shown)
	case q.min != nil && !(number >= float64(*q.min)): // so that NaN fails
		return found(checkers.ClassContent, "the query returns %s, wanted at least %d", shown, *q.min)
	case q.max != nil && !(number <= float64(*q.max)):
		return found(checkers.ClassContent, "the query returns %s, wanted at most %d", shown, *q.max)
	}
	return nil
}

// lagLimit is how far a replica may be behind.
type lagLimit struct {
	most  time.Duration // zero: any
	fails bool          // else one that is farther behind is degraded
}

func lagOptions() []Option {
	return []Option{
		{Name: "max_lag", Form: FormDuration, Doc: "How far a replica may be behind. One whose replication has stopped fails; a server that replicates from none has no lag."},
		{Name: "on_lag", Form: FormText, Default: "degraded", Values: []string{"degraded", "fail"}, Doc: "What a replica is that is farther behind."},
	}
}

func readLag(o *options) lagLimit {
	const longest = 30 * 24 * time.Hour
	l := lagLimit{most: o.duration("max_lag", 0, time.Second, longest)}
	l.fails = o.choice("on_lag", "degraded", "degraded", "fail") == "fail"
	if _, ok := o.values["on_lag"]; ok && l.most == 0 {
		o.reject([]string{"on_lag"}, "has no effect without max_lag: give it, or remove this one")
	}
	return l
}

// judge makes a pass of what the server said a worse result if it is too far
// behind. A replica's lag that nobody knows is for the caller to fail.
func (l lagLimit) judge(a attempt, lag time.Duration, said string) checkers.Result {
	lag = lag.Round(time.Millisecond)
	switch {
	case l.most == 0 || lag <= l.most:
		return a.pass("%s", said)
	case l.fails:
		return a.fail(checkers.ClassStatus, "%s, but %v behind, wanted %v at most", said, lag, l.most)
	}
	return a.degraded(0, "%s, but %v behind, wanted %v at most", said, lag, l.most)
}

// wish is a state that the operator wants, or does not care for.
type wish struct{ wanted, value bool }

func readWish(o *options, key string) wish {
	_, wanted := o.values[key]
	return wish{wanted, o.flag(key, false)}
}

// judge compares the state with the wish.
func (w wish) judge(name string, state bool) error {
	if !w.wanted || state == w.value {
		return nil
	}
	return found(checkers.ClassStatus, "%s is %v, wanted %v", name, state, w.value)
}

// unprivileged rejects options that take a login where there is none.
func (o *options) unprivileged(user string, keys ...string) {
	for _, key := range keys {
		if _, ok := o.values[key]; ok && user == "" {
			o.reject([]string{key}, "needs a login: give %s", "user")
		}
	}
}

// join puts what a check saw in a sentence.
func join(said, more string) string {
	if said == "" {
		return more
	}
	return fmt.Sprintf("%s, %s", said, more)
}
