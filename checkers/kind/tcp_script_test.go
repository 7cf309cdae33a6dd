// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

func steps(all ...m) []any {
	var list []any
	for _, one := range all {
		list = append(list, one)
	}
	return list
}

// TestScript runs scripts against servers that greet, and answer each line with
// the next of these.
func TestScript(t *testing.T) {
	tests := []struct {
		name    string
		script  []any
		answers []string // the first is the greeting
		class   checkers.Class
		message string
	}{
		{"greeting", steps(m{"expect": "220 "}), []string{"220 mail.example ESMTP\r\n"}, checkers.ClassNone, "all 1 steps of the script"},
		{"dialogue", steps(m{"expect": `ready\r\n`}, m{"send": `EHLO a\r\n`}, m{"expect_regex": `(?m)^250 .*\n`}, m{"send_hex": "51 55 49 54 0d 0a"}, m{"expect": "bye"}),
			[]string{"ready\r\n", "250-SIZE\r\n250 HELP\r\n", "221 bye\r\n"}, checkers.ClassNone, "all 5 steps of the script"},
		{"two answers in one piece", steps(m{"expect": "one"}, m{"expect": "two"}), []string{"one two"}, checkers.ClassNone, "all 2 steps of the script"},
		{"in hex", steps(m{"expect_hex": "00ff"}), []string{"\x01\x00\xff"}, checkers.ClassNone, "all 1 steps of the script"},
		{"in the wrong order", steps(m{"expect": "two"}, m{"expect": "one"}), []string{"one two"}, checkers.ClassStalled, `step 2: no "one" within LIMIT`},
		{"other text", steps(m{"expect": "220"}), []string{"554 no\r\n"}, checkers.ClassStalled, `step 1: no "220" but "554 no??" within LIMIT`},
		{"no text", steps(m{"expect": "220"}), []string{""}, checkers.ClassStalled, `step 1: no "220" within LIMIT`},
		{"no second answer", steps(m{"expect": "hi"}, m{"send": `a\n`}, m{"expect_regex": "b+"}), []string{"hi", ""}, checkers.ClassStalled, `step 3: no "b+" within LIMIT`},
		{"flood", steps(m{"expect": "b"}), []string{strings.Repeat("a", 2*maxExpect)}, checkers.ClassContent, `step 1: "b" is not in the first 65536 bytes`},
		{"closed", steps(m{"expect": "b"}), []string{"close"}, checkers.ClassProtocol, `step 1: no "b": the server closed the connection`},
		{"closed after other text", steps(m{"expect": "b"}), []string{"421 go away\nclose"}, checkers.ClassContent, `step 1: no "b" but "421 go away?", then the server closed the connection`},
		{"no TLS", steps(m{"expect": "hi"}, m{"starttls": true}), []string{"hi", "what?"}, checkers.ClassTLS, "the server does not speak TLS on this port"},
		{"smuggled before TLS", steps(m{"expect": "hi"}, m{"starttls": true}), []string{"hi, more"}, checkers.ClassProtocol, "step 2: the server sent 6 bytes more before TLS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			server := serve(t, func(conn net.Conn) {
				defer close(ended)
				r := bufio.NewReader(conn)
				for _, answer := range test.answers {
					text, closes := strings.CutSuffix(answer, "close")
					_, _ = io.WriteString(conn, text)
					if closes {
						return
					}
					if _, err := r.ReadString('\n'); err != nil {
						return
					}
				}
				_, _ = io.Copy(io.Discard, r)
			})
			timeout := 10 * time.Second
			if test.class == checkers.ClassStalled {
				timeout = stallLimit
			}
			got := checkFor(t, timeout, must(t, "tcp", m{"script": test.script}), server)
			wantResult(t, got, test.class, fmt.Sprintf("connect %s: %s", server, test.message))
			<-ended // the check has closed the connection
		})
	}
}

// TestScriptStartTLS begins TLS in the middle, with certificates good and bad.
func TestScriptStartTLS(t *testing.T) {
	good := newIdentity(t, time.Now().Add(240*time.Hour), "mail.example")
	server := serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "220 hi\r\n")
		line := make([]byte, len("STARTTLS\r\n"))
		if _, err := io.ReadFull(conn, line); err != nil || string(line) != "STARTTLS\r\n" {
			return
		}
		_, _ = io.WriteString(conn, "220 go\r\n")
		inside := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{good.pair}})
		r := bufio.NewReader(inside)
		if text, err := r.ReadString('\n'); err == nil {
			_, _ = io.WriteString(inside, "you said "+text)
			_, _ = io.Copy(io.Discard, r)
		}
	})
	script := steps(m{"expect": `220 hi\r\n`}, m{"send": `STARTTLS\r\n`}, m{"expect_regex": `220 .*\n`}, m{"starttls": true}, m{"send": `secret\n`}, m{"expect": "said secret"})
	tests := []struct {
		name    string
		options m
		outcome checkers.Outcome
		class   checkers.Class
		message string // matches
	}{
		{"good", m{"ca_file": good.certFile, "sni": "mail.example"}, checkers.OutcomePass, checkers.ClassNone, "all 6 steps of the script$"},
		{"ends soon", m{"ca_file": good.certFile, "sni": "mail.example", "expires_within": "14d"}, checkers.OutcomeDegraded, checkers.ClassNone, "all 6 steps of the script, but its certificate ends on [0-9-]+: renew it$"},
		{"wrong name", m{"ca_file": good.certFile, "sni": "other.example"}, checkers.OutcomeFail, checkers.ClassTLS, "valid for mail.example, not other.example$"},
		{"self-signed", m{"sni": "mail.example"}, checkers.OutcomeFail, checkers.ClassTLS, "signed by unknown authority"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.options["script"] = script
			got := checkFor(t, 10*time.Second, must(t, "tcp", test.options), server)
			if got.Outcome != test.outcome || got.Class != test.class || !regexp.MustCompile(test.message).MatchString(got.Message) {
				t.Errorf("got %+v\nwant %s, %s, %q", got, test.outcome, test.class, test.message)
			}
		})
	}
}

func TestScriptMistakes(t *testing.T) {
	const one = ": a step does one thing: give one of send, send_hex, expect, expect_regex, expect_hex and starttls"
	const escapes = `: after a backslash one of r, n, t, 0, \ and x with two hex digits is right`
	long := make([]any, maxSteps+1)
	for i := range long {
		long[i] = m{"send": "a"}
	}
	for _, test := range []mistakeTest{
		{"no step", "tcp", m{"script": []any{}}, []string{"script: is empty: give steps or remove it"}},
		{"too many", "tcp", m{"script": long}, []string{"script: has 65 steps: at most 64 are right"}},
		{"two in one", "tcp", m{"script": steps(m{"send": "a", "expect": "b"})}, []string{"script[0]" + one}},
		{"none in one", "tcp", m{"script": steps(m{})}, []string{"script[0]" + one}},
		{"unknown", "tcp", m{"script": steps(m{"sent": "a"})}, []string{"script[0].sent: is not an option here: the options are expect, expect_hex, expect_regex, send, send_hex, starttls"}},
		{"escape", "tcp", m{"script": steps(m{"send": `a\q`})}, []string{`script[0].send: "a\\q"` + escapes}},
		{"escape at the end", "tcp", m{"script": steps(m{"send": `a\`})}, []string{`script[0].send: "a\\"` + escapes}},
		{"short hex escape", "tcp", m{"script": steps(m{"expect": `\x1`})}, []string{`script[0].expect: "\\x1"` + escapes}},
		{"bad hex escape", "tcp", m{"script": steps(m{"expect": `\xgg`})}, []string{`script[0].expect: "\\xgg"` + escapes}},
		{"hex", "tcp", m{"script": steps(m{"send_hex": "abc"})}, []string{`script[0].send_hex: "abc" is not hex: write each byte as two digits, 0a ff`}},
		{"empty pattern", "tcp", m{"script": steps(m{"expect_regex": "a*"})}, []string{"script[0].expect_regex: matches even where there is nothing: name what has to come"}},
		{"TLS twice", "tcp", m{"verify": false, "script": steps(m{"starttls": true}, m{"starttls": true})}, []string{"script[1].starttls: TLS has begun already: remove it"}},
		{"TLS not", "tcp", m{"script": steps(m{"starttls": false})}, []string{"script[0].starttls: false does nothing: remove the step"}},
		{"options of TLS without it", "tcp", m{"sni": "a.example"}, []string{"sni: has no effect without TLS: begin it in the script by {starttls: true}"}},
	} {
		t.Run(test.name, test.run)
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		`plain`:            "plain",
		`a\r\n\t\0\\n\x7F`: "a\r\n\t\x00\\n\x7f",
		"ü\\n":             "ü\n",
	} {
		if got, err := unescape(text); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}
