// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/maps"
)

// pageTable has a line for each page.
func pageTable(pages []config.Page) string {
	table := newTable("PAGE", "PROTOCOL", "BYTES", "PACKETS", "BURST", "VARIANTS", "MEMORY")
	for _, p := range pages {
		m, memory := p.Image, bytesText(pageMemory(p.Image))
		if p.PerService() {
			memory += " for each service"
		}
		table.row(p.Name, string(cmp.Or(p.Protocol, page.HTTP)), strconv.Itoa(len(m.Response)), strconv.Itoa(page.Segments(len(m.Response))),
			strconv.Itoa(max(1, m.Burst)), strconv.Itoa(len(m.Variants)), memory)
	}
	return table.String()
}

// pagesTable tells of the pages that services have in the kernel.
func (a *app) pagesTable(st api.Status) string {
	t := a.table("PAGE", "PROTOCOL", "BYTES", "BURST", "VARIANTS", "MEMORY", "SERVICES")
	for _, p := range st.Pages {
		t.row(p.Name, p.Protocol, strconv.Itoa(p.Bytes), strconv.Itoa(p.Burst), strconv.Itoa(p.Variants), bytesText(p.Memory),
			strings.Join(p.Services, ", "))
	}
	return t.String()
}

// pageMemory is what a page and its variants take in the kernel, in bytes.
func pageMemory(m page.Image) uint64 { return uint64(m.Slots()) * maps.PageMemory }

// describe shows what a client gets of a page, and how the kernel will cut and sum
// it.
func describe(p config.Page, whole, m page.Image, variant int) string {
	var b strings.Builder
	length := len(m.Response)
	b.WriteString(pageLines(m))
	if m.Speech == page.SpeechDNS || m.Speech == page.SpeechUnreachable {
		fmt.Fprintf(&b, "\n%s: made of what the client sends, %s in the kernel\n", p.Name, bytesText(pageMemory(m)))
		return b.String()
	}
	name := p.Name
	if variant > 0 {
		name = fmt.Sprintf("%s, variant %d of %d", p.Name, variant, len(whole.Variants))
	}
	fmt.Fprintf(&b, "\n%s: %d bytes", name, length)
	if m.Speech == page.SpeechHTTP {
		fmt.Fprintf(&b, ", %d of header and %d of body", m.Head, length-m.Head)
	}
	fmt.Fprintf(&b, ", digest %016x\n", m.Digest)
	fmt.Fprintf(&b, "%d running sums, Internet checksum of the whole 0x%04x\n", len(m.Sums), ^m.Sum(0, length))
	if variant == 0 {
		fmt.Fprintf(&b, "%s in the kernel\n", bytesText(pageMemory(whole)))
		b.WriteString(variantTable(whole))
	}
	return b.String() + "\n" + segmentTable(length, len(whole.Variants) > 0)
}

// pageLines is the header of HTTP, and all of a page of another protocol.
func pageLines(m page.Image) string {
	var b strings.Builder
	switch m.Speech {
	case page.SpeechHTTP:
		for line := range strings.SplitSeq(strings.TrimSpace(string(m.Response[:m.Head])), "\r\n") {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		return b.String()
	case page.SpeechDNS:
		return "  the question, with SERVFAIL\n"
	case page.SpeechUnreachable:
		return "  ICMP port unreachable\n"
	case page.SpeechAny, page.SpeechGreeting, page.SpeechPostgres, page.SpeechHTTP2, page.SpeechLDAP:
	}
	if text, ok := strings.CutSuffix(string(m.Response), "\r\n"); ok && isText(text) {
		return "  " + text + "\n"
	}
	for line := range strings.SplitSeq(strings.TrimSpace(hex.Dump(m.Response)), "\n") {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

func isText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// variantTable lists the variants of a page in the order in which they are tried.
func variantTable(m page.Image) string {
	table := newTable("VARIANT", "HOST", "ENCODING", "OF", "HEADER", "BYTES")
	for i, v := range m.Variants {
		of := "http"
		if v.Opening == page.OpeningTLS {
			of = "tls"
		}
		table.row(strconv.Itoa(i+1), cmp.Or(v.Host, "-"), cmp.Or(string(v.Coding), "-"), of,
			strconv.Itoa(v.Image.Head), strconv.Itoa(len(v.Image.Response)))
	}
	if len(m.Variants) == 0 {
		return ""
	}
	return "\n" + table.String()
}

// segmentTable tells how a page of so many bytes is cut. Segments of a page with
// variants end where a multiple of 32 bytes does (bpf/include/types.h).
func segmentTable(length int, variants bool) string {
	table := newTable("PAYLOAD", "SEGMENTS", "LAST")
	for _, size := range segmentSizes() {
		if variants {
			size -= size % 32
		}
		n := (length + size - 1) / size
		table.row(strconv.Itoa(size), strconv.Itoa(n), strconv.Itoa(length-(n-1)*size))
	}
	return table.String()
}

// segmentSizes are the payloads that a segment may have, in bytes: the kernel
// takes the largest that the client's MSS allows (bpf/include/cookie.h).
func segmentSizes() []int { return []int{536, 1220, 1360, 1440} }
