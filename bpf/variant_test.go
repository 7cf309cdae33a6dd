// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

func asking(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// hello begins like a record with a ClientHello.
func hello(length int) string {
	b := bytes.Repeat([]byte{0xaa}, length)
	copy(b, []byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3})
	return string(b)
}

// The numbers of variants of testVariants.
const (
	theDefault = 0
	aGzip      = 1
	a          = 2
	b          = 3
	address    = 4
	anyBrotli  = 5
	anyGzip    = 6
	tls        = 14
)

type selectionCase struct {
	name    string
	payload string
	number  int
	unclear bool // the segment does not begin a request
}

func selectionCases() []selectionCase {
	const get = "GET / HTTP/1.1"
	long := "Cookie: " + strings.Repeat("c", 700)
	return []selectionCase{
		{"host", asking(get, "Host: a.example"), a, false},
		{"another host", asking(get, "Host: b.example"), b, false},
		{"no such host", asking(get, "Host: c.example"), theDefault, false},
		{"part of a host", asking(get, "Host: a.exampl"), theDefault, false},
		{"more than a host", asking(get, "Host: a.example.net"), theDefault, false},
		{"no host", asking("GET / HTTP/1.0"), theDefault, false},
		{"empty host", asking(get, "Host:"), theDefault, false},
		{"host and port", asking(get, "Host: a.example:8080"), a, false},
		{"host and dot", asking(get, "Host: a.example."), a, false},
		{"host, dot and port", asking(get, "Host: a.example.:80"), a, false},
		{"host and two dots", asking(get, "Host: a.example.."), theDefault, false},
		{"capitals", asking(get, "HOST: A.EXAMPLE"), a, false},
		{"no space", asking(get, "Host:a.example"), a, false},
		{"more space", asking(get, "Host: \t a.example \t"), a, false},
		{"space before the colon", asking(get, "Host : a.example"), theDefault, false},
		{"address", asking(get, "Host: [2001:DB8::1]"), address, false},
		{"address and port", asking(get, "Host: [2001:db8::1]:80"), address, false},
		{"second line", asking(get, "User-Agent: x", "Host: a.example"), a, false},
		{"behind 700 bytes", asking(get, long, "Host: a.example"), a, false},
		{"two hosts", asking(get, "Host: b.example", "Host: a.example"), b, false},
		{"another name that ends so", asking(get, "X-Host: a.example"), theDefault, false},
		{"absolute form", asking("GET http://a.example/ HTTP/1.1", "Host: b.example"), b, false},
		{"in the target", asking("GET /Host:a.example HTTP/1.1", "Host: c.example"), theDefault, false},
		{"in the body", asking("POST / HTTP/1.1", "Host: c.example") + "Host: a.example\r\n", theDefault, false},
		{"lines without CR", "GET / HTTP/1.1\nHost: a.example\n\n", a, false},
		{"cut in the host", "GET / HTTP/1.1\r\nHost: a.example", theDefault, false},
		{"cut behind the host", "GET / HTTP/1.1\r\nHost: a.example\r", a, false},
		{"cut in the port", "GET / HTTP/1.1\r\nHost: a.example:8", a, false},
		{"head", asking("HEAD / HTTP/1.1", "Host: a.example"), a, false},
		{"post", asking("POST / HTTP/1.1", "Host: a.example"), a, false},
		{"webdav", asking("PROPFIND / HTTP/1.1", "Host: a.example"), a, false},
		{"trace", asking("TRACE / HTTP/1.1", "Host: a.example"), a, false},
		{"gzip", asking(get, "Accept-Encoding: gzip"), anyGzip, false},
		{"gzip, capitals", asking(get, "ACCEPT-encoding: GZip"), anyGzip, false},
		{"both", asking(get, "Accept-Encoding: gzip, deflate, br, zstd"), anyBrotli, false},
		{"both, no spaces", asking(get, "Accept-Encoding:deflate,br,gzip"), anyBrotli, false},
		{"two lines", asking(get, "Accept-Encoding: deflate", "Accept-Encoding: gzip"), anyGzip, false},
		{"host and gzip", asking(get, "Host: a.example", "Accept-Encoding: gzip, br"), aGzip, false},
		{"gzip and host", asking(get, "Accept-Encoding: gzip, br", "Host: a.example"), aGzip, false},
		{"host without gzip", asking(get, "Host: b.example", "Accept-Encoding: gzip, br"), b, false},
		{"quality", asking(get, "Accept-Encoding: gzip;q=0.5, identity"), anyGzip, false},
		{"quality 0", asking(get, "Accept-Encoding: gzip;q=0"), theDefault, false},
		{"quality 0.000", asking(get, "Accept-Encoding: gzip ; Q=0.000"), theDefault, false},
		{"quality 0.001", asking(get, "Accept-Encoding: gzip; q=0.001"), anyGzip, false},
		{"quality 1", asking(get, "Accept-Encoding: gzip;q=1.0,br;q=0"), anyGzip, false},
		{"quality and more", asking(get, "Accept-Encoding: gzip;x=1;q=0;y=1"), theDefault, false},
		{"another parameter", asking(get, "Accept-Encoding: gzip;xq=0"), anyGzip, false},
		{"refused and accepted", asking(get, "Accept-Encoding: gzip;q=0, gzip"), theDefault, false},
		{"any coding", asking(get, "Accept-Encoding: *"), theDefault, false},
		{"any but gzip", asking(get, "Accept-Encoding: *, gzip;q=0"), theDefault, false},
		{"none", asking(get, "Accept-Encoding:"), theDefault, false},
		{"longer name", asking(get, "Accept-Encoding: gzipped, xgzip, brr"), theDefault, false},
		{"much longer name", asking(get, "Accept-Encoding: aaaaaaaaaagzip"), theDefault, false},
		{"cut in the coding", "GET / HTTP/1.1\r\nAccept-Encoding: gzip", theDefault, false},
		{"cut before the quality", "GET / HTTP/1.1\r\nAccept-Encoding: br, gzip;q", anyBrotli, false},
		{"tls", hello(300), tls, false},
		{"tls 1.0", "\x16\x03\x01\x00\x05\x01", tls, false},
		{"tls, not hello", "\x16\x03\x01\x00\x05\x02", theDefault, true},
		{"tls, cut short", "\x16\x03\x01\x00\x05", theDefault, true},
		{"rest of a request", "Host: a.example\r\n\r\n", theDefault, true},
		{"no HTTP", "hello there", theDefault, true},
		{"one byte", "G", theDefault, true},
	}
}

// TestSelection: which variant a request gets.
func TestSelection(t *testing.T) {
	r := newRig(t)
	v := testVariants()
	r.putVaried(t, v, 1)
	each(t, func(t *testing.T, e exchange) {
		for _, tt := range selectionCases() {
			t.Run(tt.name, func(t *testing.T) {
				if number, _, known := v.selected(tt.payload); number != tt.number || known == tt.unclear {
					t.Fatalf("the model takes variant %d, known %v", number, known)
				}
				p := e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: []byte(tt.payload)})
				want := v.answer(p, 3, 0)
				want.id = e.id
				r.check(t, p.Bytes(), want)
			})
		}
	})
}

// TestRandomSelection holds the programs against the model, with requests made of
// what a reader of them might stumble over.
func TestRandomSelection(t *testing.T) {
	r := newRig(t)
	v := testVariants()
	r.putVaried(t, v, 1)
	const seed = 11
	random := rand.New(rand.NewPCG(seed, seed))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	line := func() (s string) {
		switch random.IntN(4) {
		case 0, 1:
			s = pick("Host:", "host: ", "HOST:\t", "Host :", "Hos")
			s += pick("a.example", "A.Example", "b.example", "[2001:db8::1]", "[", "", "c") + pick("", "", "", ".", ":80", " ", "..", "]", " x")
		case 2:
			s = pick("Accept-Encoding:", "accept-encoding: ", "Accept-Encodin: ")
			for range random.IntN(5) {
				s += pick("gzip", "br", "GZIP", "x", "*", "gzip;q=0", "br;q=1", "\x00", "gzip ; q = 0.0", "zstd;q=0", ";;q", "q=0") + pick(",", ", ", ",", "", ";")
			}
		default:
			s = "Cookie: " + strings.Repeat("y", random.IntN(140))
		}
		return s + pick("\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n\r\n")
	}
	requests, taken := 3000, map[int]int{}
	if testing.Short() {
		requests = 300
	}
	for i := range requests {
		payload := "GET / HTTP/1.1\r\n"
		for range random.IntN(8) {
			payload += line()
		}
		payload = payload[:len(payload)-random.IntN(2)*random.IntN(min(20, len(payload)-5))]
		e := exchanges()[i%2]
		p := e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: []byte(payload)})
		want := v.answer(p, 3, 0)
		want.id = e.id
		r.checkFrame(t, fmt.Sprintf("seed %d, request %d: %q", seed, i, payload), p.Bytes(), want)
		number, _, _ := v.selected(payload)
		taken[number]++
	}
	for _, number := range []int{theDefault, aGzip, a, b, address, anyBrotli, anyGzip} {
		if taken[number] == 0 {
			t.Errorf("no request was for variant %d: %v", number, taken)
		}
	}
}

// TestVariantOffsets asks for any part of any variant, with any window.
func TestVariantOffsets(t *testing.T) {
	r := newRig(t)
	v := testVariants()
	r.putVaried(t, v, 1)
	const seed = 5
	random := rand.New(rand.NewPCG(seed, seed))
	samples := 5000
	if testing.Short() {
		samples = 800
	}
	pages := v.all()
	for i := range samples {
		e := exchanges()[i%2]
		number, class := random.IntN(len(pages)), random.IntN(4)
		page := pages[number]
		offset := random.IntN(len(page.bytes) + 2)
		switch random.IntN(4) {
		case 0: // where nothing of the variant's ends
		case 1:
			offset = []int{len(page.bytes), len(page.bytes) + 1, page.head, page.head + 1}[random.IntN(4)]
		default:
			offset = offset/32*32 + number
		}
		if offset == 0 || offset > 65535 {
			continue
		}
		window := []int{random.IntN(130), random.IntN(1600), len(page.bytes) - offset + random.IntN(3) - 1, 65535}[random.IntN(4)]
		p := e.at(key0, uint32(class), 0, uint32(offset), packet.TCP{
			Window: uint16(min(max(0, window), 65535)), Payload: tail(make([]byte, random.IntN(2)))})
		want := v.answer(p, class, offset)
		want.id = e.id
		r.checkFrame(t, fmt.Sprintf("seed %d, sample %d: variant %d, class %d, offset %d, window %d",
			seed, i, number, class, offset, p.Window), p.Bytes(), want)
	}
}

// TestWholeVariants walks each variant from its request to its end, by every class.
func TestWholeVariants(t *testing.T) {
	r := newRig(t)
	v := testVariants()
	r.putVaried(t, v, 1)
	requests := map[int]string{
		theDefault: asking("GET / HTTP/1.1"), aGzip: asking("GET / HTTP/1.1", "Host: a.example", "Accept-Encoding: gzip"),
		a: asking("GET / HTTP/1.1", "Host: a.example"), b: asking("GET / HTTP/1.1", "Host: b.example"),
		address: asking("GET / HTTP/1.1", "Host: [2001:db8::1]"), anyBrotli: asking("GET / HTTP/1.1", "Accept-Encoding: br"),
		anyGzip: asking("GET / HTTP/1.1", "Accept-Encoding: gzip"), tls: hello(200),
	}
	each(t, func(t *testing.T, e exchange) {
		for number, text := range requests {
			for class := range segmentSizes {
				if testing.Short() && class != number%len(segmentSizes) {
					continue
				}
				for _, window := range []uint16{65535, 1000, 100} {
					t.Run(fmt.Sprintf("variant %d, class %d, window %d", number, class, window), func(t *testing.T) {
						r.walk(t, e, v, class, window, text, v.all()[number].bytes)
					})
				}
			}
		}
	})
}

// walk asks for what follows until the last segment has come, and wants the page.
func (r *rig) walk(t *testing.T, e exchange, v variedPage, class int, window uint16, text string, page []byte) {
	t.Helper()
	var got []byte
	p := e.at(key0, uint32(class), 0, 0, packet.TCP{Window: window, Payload: []byte(text)})
	for {
		want := v.answer(p, class, len(got))
		want.id = e.id
		r.checkFrame(t, fmt.Sprint("offset ", len(got)), p.Bytes(), want)
		if want.reply == nil {
			t.Fatalf("no answer at offset %d: %s", len(got), r.names[want.verdict])
		}
		got = append(got, want.reply.Payload...)
		if want.verdict == DirectorVerdictANSWER_LAST {
			break
		}
		p = e.at(key0, uint32(class), 0, uint32(len(got)), packet.TCP{Seq: clientISN + 1 + uint32(len(text)), Window: window})
	}
	if !bytes.Equal(got, page) {
		t.Errorf("got %d bytes that are not the %d of the page", len(got), len(page))
	}
}
