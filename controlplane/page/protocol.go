// SPDX-License-Identifier: Apache-2.0

package page

import (
	"cmp"
	"slices"
)

// Protocol is what a page is told in.
type Protocol string

// The protocols. Raw is any bytes; Unreachable is the ICMP error of a UDP
// service.
const (
	HTTP        Protocol = "http"
	TLS         Protocol = "tls"
	H2C         Protocol = "h2c"
	GRPC        Protocol = "grpc"
	SMTP        Protocol = "smtp"
	Submission  Protocol = "submission"
	IMAP        Protocol = "imap"
	POP3        Protocol = "pop3"
	FTP         Protocol = "ftp"
	NNTP        Protocol = "nntp"
	MySQL       Protocol = "mysql"
	Postgres    Protocol = "postgres"
	Redis       Protocol = "redis"
	Memcached   Protocol = "memcached"
	LDAP        Protocol = "ldap"
	DNS         Protocol = "dns"
	Raw         Protocol = "raw"
	Unreachable Protocol = "unreachable"
)

// maxSegment is the most bytes of a page that has to go out in one piece: what
// any client takes in one segment.
const maxSegment = 536

// maxLine is the most bytes that a line has, CRLF included, in SMTP (RFC 5321,
// 4.5.3.1.5), POP3 (RFC 1939, 3) and NNTP (RFC 3977, 3.1).
const maxLine = 512

// protocol is how the pages of a protocol are made.
type protocol struct {
	name   Protocol
	speech Speech
	tcp    bool
	udp    bool
	most   int      // bytes of the whole page
	fields []string // of Spec, as the configuration spells them
	make   func(Spec) (response []byte, head int, err error)
}

// protocols is a function so that nothing can change the table.
func protocols() []protocol {
	http := []string{
		"status", "reason", "content_type", "body", "body_file", "retry_after", "headers", "compress", "burst", "variants",
	}
	h2c := []string{"status", "content_type", "body", "body_file", "retry_after", "headers"}
	text := []string{"text"}
	return []protocol{
		{HTTP, SpeechHTTP, true, false, MaxLength, http, nil},
		{TLS, SpeechAny, true, false, maxSegment, nil, makeTLS},
		{H2C, SpeechHTTP2, true, false, maxSegment, h2c, makeH2C},
		{GRPC, SpeechHTTP2, true, false, maxSegment, text, makeGRPC},
		{SMTP, SpeechGreeting, true, false, maxLine, text, makeSMTP},
		{Submission, SpeechGreeting, true, false, maxLine, text, makeSMTP},
		{IMAP, SpeechGreeting, true, false, maxSegment, text, makeIMAP},
		{POP3, SpeechGreeting, true, false, maxLine, text, makePOP3},
		{FTP, SpeechGreeting, true, false, maxSegment, text, makeFTP},
		{NNTP, SpeechGreeting, true, false, maxLine, text, makeNNTP},
		{MySQL, SpeechGreeting, true, false, maxSegment, text, makeMySQL},
		{Postgres, SpeechPostgres, true, false, maxSegment, text, makePostgres},
		{Redis, SpeechAny, true, false, maxSegment, text, makeRedis},
		{Memcached, SpeechAny, true, false, maxSegment, text, makeMemcached},
		{LDAP, SpeechLDAP, true, false, maxLDAP, text, makeLDAP},
		{DNS, SpeechDNS, true, true, maxSegment, nil, makeDNS},
		{Raw, SpeechAny, true, false, MaxLength, []string{"bytes", "bytes_file"}, makeRaw},
		{Unreachable, SpeechUnreachable, false, true, maxSegment, nil, makeUnreachable},
	}
}

// Protocols lists all of them.
func Protocols() []Protocol {
	var names []Protocol
	for _, p := range protocols() {
		names = append(names, p.name)
	}
	return names
}

func (p Protocol) lookup() (protocol, bool) {
	for _, known := range protocols() {
		if known.name == cmp.Or(p, HTTP) {
			return known, true
		}
	}
	return protocol{}, false
}

// Takes tells whether a field of Spec, as the configuration spells it, counts for
// the protocol.
func (p Protocol) Takes(field string) bool {
	known, _ := p.lookup()
	return slices.Contains(known.fields, field)
}

// Fields lists the fields that Takes is true of.
func (p Protocol) Fields() []string {
	known, _ := p.lookup()
	return known.fields
}

// OverTCP tells whether a tcp service may have such a page.
func (p Protocol) OverTCP() bool { known, _ := p.lookup(); return known.tcp }

// OverUDP tells whether a udp service may have such a page.
func (p Protocol) OverUDP() bool { known, _ := p.lookup(); return known.udp }

// speaks is the field that a page's length comes from.
func (p protocol) speaks() string {
	switch {
	case slices.Contains(p.fields, "body"):
		return "body"
	case slices.Contains(p.fields, "bytes"):
		return "bytes"
	}
	return "text"
}

// line makes a page of one line of ASCII with a text in it.
func line(before string, s Spec) ([]byte, int, error) {
	if err := checkText(s.Text, badText); err != nil {
		return nil, 0, err
	}
	return []byte(before + s.Text + "\r\n"), 0, nil
}

func checkText(text string, bad func(string) string) error {
	if text == "" {
		return &FieldError{"text", "is empty: say in a sentence that the service is down"}
	}
	if problem := bad(text); problem != "" {
		return &FieldError{"text", problem}
	}
	return nil
}
