// SPDX-License-Identifier: Apache-2.0

package page

import (
	"encoding/binary"
	"hash/fnv"
)

// MaxLength is the most bytes that a response may have, header and body: the
// offset of a byte, and of the FIN after the last, must fit 16 bits of the
// cookie.
const MaxLength = 65534

// MaxHead is the most bytes that the header may have: a HEAD request is
// answered by one segment, and 536 bytes is the smallest that we send.
const MaxHead = 536

// Image is a response as the kernel sends it.
type Image struct {
	// Response is the status line, the header, the empty line and the body.
	Response []byte
	// Head is the length of all that comes before the body, in bytes: what a
	// HEAD request is answered with.
	Head int
	// Sums are running sums for the Internet checksum (RFC 1071): Sums[i] is
	// the plain sum of the first i 16-bit big-endian words of the response, an
	// odd last byte counting as the high half of a word. A difference of two
	// sums is the sum of the words between.
	Sums []uint32
	// Digest identifies the response's bytes, and all that follows here.
	Digest uint64
	// Speech is the protocol that the response is of.
	Speech Speech
	// Burst is how many segments are sent at once; zero is one.
	Burst int
	// Variants are sent in place of the response to the clients that they suit
	// better; the first that does is taken.
	Variants []Variant
}

// Variant is a response for some of the clients.
type Variant struct {
	Host    string // in lower case, without a port; empty: any
	Coding  Coding
	Opening Opening
	Image   Image // without variants of its own
}

// Speech says when a response is sent, and what of the client's bytes goes into
// it.
type Speech string

// The speeches.
const (
	SpeechHTTP        Speech = ""            // at the first bytes; HEAD gets the head alone
	SpeechAny         Speech = "any"         // all of it, at the client's first byte
	SpeechGreeting    Speech = "greeting"    // before the client has said anything
	SpeechPostgres    Speech = "postgres"    // N to a wish for encryption; then the error
	SpeechHTTP2       Speech = "http2"       // the head at the preface, the rest at a request
	SpeechLDAP        Speech = "ldap"        // with the number and kind of the request
	SpeechDNS         Speech = "dns"         // the question itself, with SERVFAIL
	SpeechUnreachable Speech = "unreachable" // of UDP: an ICMP error
)

// Coding is how a body is coded (RFC 9110, 8.4.1), as headers name it.
type Coding string

// The codings.
const (
	CodingNone   Coding = ""
	CodingGzip   Coding = "gzip"
	CodingBrotli Coding = "br"
)

// Opening is what a client's first bytes must be for a variant.
type Opening string

// The openings.
const (
	OpeningHTTP Opening = ""    // a method
	OpeningTLS  Opening = "tls" // a ClientHello
)

// largestSegment is the most bytes of a page that a packet carries; smaller ones
// are for clients and ways that allow no more.
const largestSegment = 1440

// Segments is how many packets bytes of a page take at least.
func Segments(length int) int { return (length + largestSegment - 1) / largestSegment }

// Slots is how many places the page and its variants take in the kernel: variants
// that are the same share one, and what is said to TLS all pages share.
func (m Image) Slots() int {
	distinct := map[uint64]bool{}
	for _, v := range m.Variants {
		if v.Opening != OpeningTLS {
			distinct[v.Image.Digest] = true
		}
	}
	return 1 + len(distinct)
}

// Longest is the length of the longest of the page and its variants, in bytes.
func (m Image) Longest() int {
	n := 0
	for _, length := range m.lengths() {
		n = max(n, length)
	}
	return n
}

func (m Image) lengths() []int {
	all := []int{len(m.Response)}
	for _, v := range m.Variants {
		all = append(all, len(v.Image.Response))
	}
	return all
}

func newImage(response []byte, head int, speech Speech) Image {
	return Image{Response: response, Head: head, Sums: runningSums(response), Speech: speech}
}

// sealed is the image with its digest, which is never zero: that stands for "no
// page" in the kernel.
func (m Image) sealed() Image {
	h := fnv.New64a()
	number := func(n uint64) { _, _ = h.Write(binary.BigEndian.AppendUint64(nil, n)) } // a hash never fails
	text := func(s string) { number(uint64(len(s))); _, _ = h.Write([]byte(s)) }
	number(uint64(m.Head))
	number(uint64(m.Burst))
	text(string(m.Response))
	text(string(m.Speech))
	for _, v := range m.Variants {
		text(v.Host)
		text(string(v.Coding))
		text(string(v.Opening))
		number(v.Image.Digest)
	}
	m.Digest = max(h.Sum64(), 1)
	return m
}
