// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

const (
	// maxSteps is how many steps a script may have.
	maxSteps = 64
	// maxExpect is what a step reads at most before what it waits for, in bytes.
	maxExpect = 64 << 10
)

// script is a talk with a server, step by step.
type script struct {
	steps  []scriptStep
	secure *secure // nil: no step begins TLS
}

// scriptStep does one thing: it sends, waits, or begins TLS.
type scriptStep struct {
	send     []byte
	expect   []byte
	pattern  *regexp.Regexp
	startTLS bool
}

// tcpOptions describes the options of tcp.
func tcpOptions() []Option {
	const escapes = ` \r, \n, \t, \0, \\ and \x1b stand for bytes.`
	return append([]Option{
		{Name: "script", Form: FormMaps, Doc: "What to say and to hear, step by step; each step has one of these.", Options: []Option{
			{Name: "send", Form: FormText, Doc: "A text to send." + escapes},
			{Name: "send_hex", Form: FormText, Doc: "Bytes to send, in hex; spaces are left out."},
			{Name: "expect", Form: FormText, Doc: "A text to wait for; what comes before it is left out, what comes after is for the next step." + escapes},
			{Name: "expect_regex", Form: FormText, Doc: `The same with a regular expression (Go's package regexp), as soon as it matches. (?m)^220 .*\n waits for a whole line.`},
			{Name: "expect_hex", Form: FormText, Doc: "The same with bytes in hex."},
			{Name: "starttls", Form: FormFlag, Doc: "true: begin TLS here; the steps that follow are inside it."},
		}},
	}, secureOptions()...)
}

// readScript reads the script of a tcp check; nil where there is none.
func readScript(o *options) *script {
	s := &script{}
	all := o.each("script")
	if len(all) > maxSteps {
		o.reject([]string{"script"}, "has %d steps: at most %d are right", len(all), maxSteps)
	}
	inTLS := false
	for _, one := range all {
		step, ok := readStep(one)
		if ok && step.startTLS && inTLS {
			one.reject([]string{"starttls"}, "TLS has begun already: remove it")
		}
		inTLS = inTLS || step.startTLS
		s.steps = append(s.steps, step)
	}
	if inTLS {
		s.secure = readSecure(o, "")
	} else {
		insecure(o, "begin it in the script by {starttls: true}")
	}
	if len(all) == 0 {
		if list, ok := o.values["script"].([]any); ok && len(list) == 0 {
			o.reject([]string{"script"}, "is empty: give steps or remove it")
		}
		return nil
	}
	return s
}

// readStep reads one step, which must do one thing.
func readStep(o *options) (step scriptStep, ok bool) {
	const want = "a step does one thing: give one of send, send_hex, expect, expect_regex, expect_hex and starttls"
	step.send = o.escaped("send")
	if bytes := o.hex("send_hex"); bytes != nil {
		step.send = bytes
	}
	step.expect = o.escaped("expect")
	if bytes := o.hex("expect_hex"); bytes != nil {
		step.expect = bytes
	}
	if step.pattern = o.pattern("expect_regex"); step.pattern != nil && step.pattern.MatchString("") {
		o.reject([]string{"expect_regex"}, "matches even where there is nothing: name what has to come")
	}
	step.startTLS = o.flag("starttls", false)
	if len(o.values) != 1 {
		o.reject(nil, "%s", want)
		return step, false
	}
	if value, is := o.values["starttls"].(bool); is && !value {
		o.reject([]string{"starttls"}, "false does nothing: remove the step")
		return step, false
	}
	return step, true
}

// escaped reads a text in which \r, \n, \t, \0, \\ and \xHH stand for bytes.
func (o *options) escaped(key string) []byte {
	text := o.text(key, "")
	if text == "" {
		return nil
	}
	plain, err := unescape(text)
	if err != nil {
		o.reject([]string{key}, "%v", err)
	}
	return plain
}

func unescape(text string) ([]byte, error) {
	const help = `%q: after a backslash one of r, n, t, 0, \ and x with two hex digits is right`
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			plain = append(plain, text[i])
			continue
		}
		if i++; i == len(text) {
			return nil, fmt.Errorf(help, text)
		}
		if at := strings.IndexByte(`rnt0\`, text[i]); at >= 0 {
			plain = append(plain, "\r\n\t\x00\\"[at])
			continue
		}
		if text[i] != 'x' || len(text) < i+3 {
			return nil, fmt.Errorf(help, text)
		}
		b, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			return nil, fmt.Errorf(help, text)
		}
		plain = append(plain, byte(b))
		i += 2
	}
	return plain, nil
}

// hex reads bytes in hex; nil where there are none.
func (o *options) hex(key string) []byte {
	text := o.text(key, "")
	if text == "" {
		return nil
	}
	plain, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil || len(plain) == 0 {
		o.reject([]string{key}, "%q is not hex: write each byte as two digits, 0a ff", text)
		return nil
	}
	return plain
}

// talk is a script under way.
type talk struct {
	conn net.Conn
	rest []byte // that was read and belongs to steps to come
}

// run takes all steps on a connection, and closes it.
func (s *script) run(ctx context.Context, a attempt, conn net.Conn, target netip.AddrPort) checkers.Result {
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	a.step("connected")
	t := &talk{conn: conn}
	var state tls.ConnectionState
	for i, step := range s.steps {
		switch {
		case step.startTLS:
			if len(t.rest) > 0 {
				return a.fail(checkers.ClassProtocol, "step %d: the server sent %d bytes more before TLS", i+1, len(t.rest))
			}
			inside, err := s.secure.handshake(a, conn, target)
			if err != nil {
				return a.broken(ctx, err, checkers.ClassTLS, fmt.Sprintf("step %d: no TLS handshake", i+1))
			}
			defer farewell(ctx, inside)
			state, t.conn = inside.ConnectionState(), inside
		case step.send != nil:
			if _, err := t.conn.Write(step.send); err != nil {
				return a.broken(ctx, err, classOfTalk(err), fmt.Sprintf("step %d: the text was not taken", i+1))
			}
			a.step("sent %q", step.send)
		default:
			heard, err := t.hear(step)
			if heard != nil {
				a.step("heard %q", heard)
				continue
			}
			return s.unheard(ctx, a, i, t, err)
		}
	}
	return s.secure.watch(a.pass("all %d steps of the script", len(s.steps)), state)
}

// unheard is the result of a run in which a step waited in vain.
func (s *script) unheard(ctx context.Context, a attempt, i int, t *talk, err error) checkers.Result {
	if err == nil {
		return a.fail(checkers.ClassContent, "step %d: %s is not in the first %d bytes", i+1, s.steps[i].wanted(), maxExpect)
	}
	missing := fmt.Sprintf("step %d: no %s", i+1, s.steps[i].wanted())
	if len(t.rest) > 0 {
		missing = fmt.Sprintf("%s but %q", missing, checkers.Clip(string(t.rest), 80))
	}
	if ended(err) {
		if len(t.rest) > 0 {
			return a.fail(checkers.ClassContent, "%s, then the server closed the connection", missing)
		}
		return a.fail(checkers.ClassProtocol, "%s: the server closed the connection", missing)
	}
	return a.broken(ctx, err, classOfTalk(err), missing)
}

// wanted names what the step waits for.
func (s scriptStep) wanted() string {
	if s.pattern != nil {
		return strconv.Quote(s.pattern.String())
	}
	return strconv.Quote(string(s.expect))
}

// hear reads until what the step waits for has come, and returns it; nil and no
// error: it was not in what may be read.
func (t *talk) hear(step scriptStep) ([]byte, error) {
	piece := make([]byte, 4<<10)
	for {
		if begin, end := step.find(t.rest); end > 0 {
			heard := t.rest[begin:end]
			t.rest = t.rest[end:]
			return heard, nil
		}
		if len(t.rest) >= maxExpect {
			return nil, nil
		}
		n, err := t.conn.Read(piece[:min(len(piece), maxExpect-len(t.rest))])
		t.rest = append(t.rest, piece[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// find tells where what the step waits for begins and ends; an end of zero: it
// is not there.
func (s scriptStep) find(heard []byte) (begin, end int) {
	if s.pattern != nil {
		if at := s.pattern.FindIndex(heard); at != nil {
			return at[0], at[1]
		}
		return 0, 0
	}
	if begin = bytes.Index(heard, s.expect); begin >= 0 {
		return begin, begin + len(s.expect)
	}
	return 0, 0
}
