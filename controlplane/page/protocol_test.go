// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bufio"
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const down = "Service temporarily down"

func TestApologies(t *testing.T) {
	for _, test := range []struct {
		protocol Protocol
		speech   Speech
		want     string
	}{
		{TLS, SpeechAny, "\x15\x03\x03\x00\x02\x02\x50"},
		{SMTP, SpeechGreeting, "421 4.3.2 Service temporarily down\r\n"},
		{Submission, SpeechGreeting, "421 4.3.2 Service temporarily down\r\n"},
		{IMAP, SpeechGreeting, "* BYE [UNAVAILABLE] Service temporarily down\r\n"},
		{POP3, SpeechGreeting, "-ERR [SYS/TEMP] Service temporarily down\r\n"},
		{FTP, SpeechGreeting, "421 Service temporarily down\r\n"},
		{NNTP, SpeechGreeting, "400 Service temporarily down\r\n"},
		{MySQL, SpeechGreeting, "\x1b\x00\x00\x00\xff\x10\x04Service temporarily down"},
		{Postgres, SpeechPostgres, "NNE\x00\x00\x00\x34SFATAL\x00VFATAL\x00C57P03\x00MService temporarily down\x00\x00"},
		{Redis, SpeechAny, "-ERR Service temporarily down\r\n"},
		{Memcached, SpeechAny, "SERVER_ERROR Service temporarily down\r\n"},
		{LDAP, SpeechLDAP, "\x30\x24\x02\x01\x01\x61\x1f\x0a\x01\x34\x04\x00\x04\x18Service temporarily down"},
		{DNS, SpeechDNS, "\x00"},
		{Raw, SpeechAny, "\xff\x00any"},
		{Unreachable, SpeechUnreachable, "\x00"},
	} {
		t.Run(string(test.protocol), func(t *testing.T) {
			m, err := Build(Spec{Protocol: test.protocol, Text: down, Bytes: []byte("\xff\x00any")})
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Response) != test.want || m.Speech != test.speech || m.Digest == 0 || len(m.Variants) != 0 {
				t.Errorf("%s: %q, %d variants, want %s: %q", m.Speech, m.Response, len(m.Variants), test.speech, test.want)
			}
			if got, want := m.Sum(0, len(m.Response)), naiveSum(m.Response); got != want {
				t.Errorf("sum %x, want %x", got, want)
			}
		})
	}
}

// readFrames reads a page as an HTTP/2 client does.
func readFrames(t *testing.T, page []byte) (header map[string]string, body []byte, kinds []string) {
	t.Helper()
	framer := http2.NewFramer(io.Discard, bytes.NewReader(page))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	header = map[string]string{}
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return header, body, kinds
		}
		if err != nil {
			t.Fatal(err)
		}
		kind := fmt.Sprintf("%v on %d", frame.Header().Type, frame.Header().StreamID)
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			kind += fmt.Sprintf(", ack %v", f.IsAck())
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				header[field.Name] = field.Value
			}
			kind += fmt.Sprintf(", end %v", f.StreamEnded())
		case *http2.DataFrame:
			body = bytes.Clone(f.Data())
			kind += fmt.Sprintf(", end %v", f.StreamEnded())
		case *http2.GoAwayFrame:
			kind += fmt.Sprintf(", last %d, %v", f.LastStreamID, f.ErrCode)
		}
		kinds = append(kinds, kind)
	}
}

func TestHTTP2(t *testing.T) {
	m, err := Build(Spec{
		Protocol: H2C, Status: 503, ContentType: "text/html", Body: []byte("<p>Sorry."), RetryAfter: 60e9,
		Headers: []Header{{"X-Outage", "Planned"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	header, body, kinds := readFrames(t, m.Response)
	want := map[string]string{
		":status": "503", "content-type": "text/html", "content-length": "9", "cache-control": "no-store", "retry-after": "60",
		"x-outage": "Planned",
	}
	if diff := cmp.Diff(want, header); diff != "" || string(body) != "<p>Sorry." {
		t.Errorf("body %q, header (-want +got):\n%s", body, diff)
	}
	wantKinds := []string{
		"SETTINGS on 0, ack false", "SETTINGS on 0, ack true", "HEADERS on 1, end false", "DATA on 1, end true", "GOAWAY on 0, last 1, NO_ERROR",
	}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if m.Head != 9 || m.Speech != SpeechHTTP2 {
		t.Errorf("head %d, speech %s", m.Head, m.Speech)
	}
	m, err = Build(Spec{Protocol: H2C, Status: 502})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, kinds = readFrames(t, m.Response); kinds[2] != "HEADERS on 1, end true" || len(kinds) != 4 {
		t.Errorf("without a body: %v", kinds)
	}
}

func TestGRPC(t *testing.T) {
	m, err := Build(Spec{Protocol: GRPC, Text: "Störung: 100% down"})
	if err != nil {
		t.Fatal(err)
	}
	header, _, kinds := readFrames(t, m.Response)
	want := map[string]string{
		":status": "200", "content-type": "application/grpc", "grpc-status": "14", "grpc-message": "St%C3%B6rung: 100%25 down",
	}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	wantKinds := []string{"SETTINGS on 0, ack false", "SETTINGS on 0, ack true", "HEADERS on 1, end true", "GOAWAY on 0, last 1, NO_ERROR"}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" || m.Head != 9 {
		t.Errorf("head %d, frames (-want +got):\n%s", m.Head, diff)
	}
}

// Replies of lines are what Go's own reader of such protocols takes.
func TestReplyCodes(t *testing.T) {
	for protocol, want := range map[Protocol]textproto.Error{SMTP: {Code: 421, Msg: "4.3.2 " + down}, FTP: {Code: 421, Msg: down}, NNTP: {Code: 400, Msg: down}} {
		m, err := Build(Spec{Protocol: protocol, Text: down})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = textproto.NewReader(bufio.NewReader(bytes.NewReader(m.Response))).ReadResponse(2)
		if reply, ok := errors.AsType[*textproto.Error](err); !ok || *reply != want {
			t.Errorf("%s: %v, want %v", protocol, err, want)
		}
	}
}

func TestApologiesRefuse(t *testing.T) {
	long := strings.Repeat("x", 600)
	for name, test := range map[string]struct {
		spec Spec
		want string
	}{
		"no such protocol":   {Spec{Protocol: "gopher"}, `protocol: "gopher" is not a protocol`},
		"no text":            {Spec{Protocol: SMTP}, "text: is empty: say in a sentence that the service is down"},
		"a line break":       {Spec{Protocol: IMAP, Text: "a\r\n* OK"}, "text: has a line break, which would end the line"},
		"a null":             {Spec{Protocol: Postgres, Text: "a\x00b"}, `text: has the control character '\x00'`},
		"no ASCII":           {Spec{Protocol: MySQL, Text: "Störung"}, "text: has a character outside ASCII, which does not fit there"},
		"no UTF-8":           {Spec{Protocol: GRPC, Text: "a\xff"}, "text: is not UTF-8"},
		"a space at the end": {Spec{Protocol: LDAP, Text: "a "}, "text: begins or ends with a space"},
		"a long line":        {Spec{Protocol: SMTP, Text: long}, "text: makes 612 bytes of smtp, at most 512 are possible: shorten it by 100"},
		"a long text":        {Spec{Protocol: IMAP, Text: long}, "text: makes 622 bytes of imap, at most 536 are possible: shorten it by 86"},
		"long for LDAP":      {Spec{Protocol: LDAP, Text: long}, "text: makes 620 bytes of ldap, at most 531 are possible: shorten it by 89"},
		"a long body of h2c": {Spec{Protocol: H2C, Status: 502, Body: []byte(long)}, "body: makes 671 bytes of h2c, at most 536 are possible: shorten it by 135"},
		"a status of h2c":    {Spec{Protocol: H2C, Status: 7}, "status: 7 is not an HTTP status: 200 to 599"},
		"a header of h2c":    {Spec{Protocol: H2C, Status: 502, Headers: []Header{{"te", "x"}}}, "headers[0].name: te is of HTTP/1.1 alone"},
		"no bytes":           {Spec{Protocol: Raw}, "bytes: is missing: say what is sent, with bytes or bytes_file"},
		"many bytes": {Spec{Protocol: Raw, Bytes: make([]byte, MaxLength+1)},
			"bytes: makes 65535 bytes of raw, at most 65534 are possible: shorten it by 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Build(test.spec); err == nil || err.Error() != test.want {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
}

// Lengths are in the form that they need, and every byte is where they say.
func TestLDAPLengths(t *testing.T) {
	type message struct {
		Number int
		Result struct {
			Code      asn1.Enumerated
			MatchedDN []byte
			Text      []byte
		} `asn1:"application,tag:1"`
	}
	for _, n := range []int{1, 112, 113, 114, 118, 127, 128, 240, 255, 256, 507} {
		m := mustBuild(t, Spec{Protocol: LDAP, Text: strings.Repeat("x", n)})
		var got message
		rest, err := asn1.Unmarshal(m.Response, &got)
		if err != nil || len(rest) != 0 || got.Number != 1 || got.Result.Code != 52 || len(got.Result.Text) != n {
			t.Errorf("a text of %d bytes: %+v, %d bytes left over: %v", n, got, len(rest), err)
		}
	}
}

func TestProtocols(t *testing.T) {
	all := Protocols()
	if len(all) != 18 {
		t.Errorf("%d protocols: %v", len(all), all)
	}
	for _, p := range all {
		if udp := p == DNS || p == Unreachable; p.OverUDP() != udp || p.OverTCP() != (p != Unreachable) {
			t.Errorf("%s: over TCP %v, over UDP %v", p, p.OverTCP(), p.OverUDP())
		}
		if p.Takes("text") && p.Takes("body") {
			t.Errorf("%s takes a text and a body", p)
		}
	}
	if !Protocol("").Takes("variants") || Protocol("gopher").Takes("text") {
		t.Error("what a protocol takes that is not named or not known")
	}
}
