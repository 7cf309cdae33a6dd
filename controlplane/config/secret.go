// SPDX-License-Identifier: Apache-2.0

package config

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// secrets are the values into which the environment put something, by the path
// of their key. They may hold passwords, and messages go to logs: a message
// about such a key shows the text that is written in the file.
type secrets map[string]secret

type secret struct{ written, value string }

// hide takes out of a message about the key at path what the environment put
// there, into the key itself or into what belongs to it.
func (s secrets) hide(path, message string) string {
	for at, one := range s {
		if strings.HasPrefix(at, path) || strings.HasPrefix(path, at) {
			message = one.hide(message)
		}
	}
	return message
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// hide puts the written text in place of the value, and nothing in place of what
// else is quoted of it: a part, or another spelling.
func (s secret) hide(message string) string {
	inner := strconv.Quote(s.value)
	message = replaceWord(message, inner[1:len(inner)-1], s.written)
	message = replaceWord(message, s.value, s.written)
	return quoted.ReplaceAllStringFunc(message, func(token string) string {
		text, err := strconv.Unquote(token)
		if err != nil || text == "" {
			return token
		}
		part := strings.Contains(strings.ToLower(s.value), strings.ToLower(text))
		if part || len(s.value) > 3 && strings.Contains(text, s.value) {
			return `"..."`
		}
		return token
	})
}

// replaceWord replaces old where it is no part of a longer word: a value of 0
// must not take the zeros out of the numbers of a message.
func replaceWord(text, old, with string) string {
	if old == "" {
		return text
	}
	var out strings.Builder
	rest := 0
	for {
		i := strings.Index(text[rest:], old)
		if i < 0 {
			return out.String() + text[rest:]
		}
		begin, end := rest+i, rest+i+len(old)
		if joined(text, begin) || joined(text, end) {
			out.WriteString(text[rest:end])
		} else {
			out.WriteString(text[rest:begin] + with)
		}
		rest = end
	}
}

// joined tells whether the characters on both sides of i belong to one word.
func joined(text string, i int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	after, _ := utf8.DecodeRuneInString(text[i:])
	word := func(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
	return word(before) && word(after)
}
