// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/maitred-lb/maitred/bpf"
)

// PageMemory is what a page costs in the kernel, and what each of its variants
// does, in bytes.
const PageMemory = 32 + 24*maxVariants + 4*32768 + 65536 + 2048

// maxPage is PAGE_MAX of bpf/include/types.h, maxVariants VARIANTS_MAX and
// maxBurst BURST_MAX.
const (
	maxPage     = 65534
	maxVariants = 31
	maxBurst    = 10
)

// maxTLS is what the smallest segment carries: the kernel sends what is said to TLS
// all at once.
const maxTLS = 536

// check tells what keeps a page and its variants from the kernel.
func (p Page) check() error {
	if p.ID == 0 {
		return errors.New("it has no identity")
	}
	if len(p.Variants) > maxVariants {
		return fmt.Errorf("%d variants: %d are the most", len(p.Variants), maxVariants)
	}
	if err := p.checkBytes(); err != nil {
		return err
	}
	for i, v := range p.Variants {
		switch {
		case v.Page.ID == 0:
			return fmt.Errorf("variant %d has no identity", i+1)
		case len(v.Page.Variants) > 0:
			return fmt.Errorf("variant %d has variants of its own", i+1)
		case v.Opening == OpeningTLS && len(v.Page.Response) > maxTLS:
			return fmt.Errorf("variant %d says %d bytes to TLS: %d are possible", i+1, len(v.Page.Response), maxTLS)
		}
		if err := v.Page.checkBytes(); err != nil {
			return fmt.Errorf("variant %d: %w", i+1, err)
		}
	}
	return nil
}

func (p Page) checkBytes() error {
	switch n := len(p.Response); {
	case n == 0 || n > maxPage || p.Head < 0 || p.Head > n:
		return fmt.Errorf("%d bytes with a header of %d: 1 to %d are possible", n, p.Head, maxPage)
	case p.Burst < 0 || p.Burst > maxBurst:
		return fmt.Errorf("bursts of %d segments: 1 to %d are possible", p.Burst, maxBurst)
	}
	return nil
}

// distinct are the pages of the variants but for those that all pages share: hosts
// that have the same page have one.
func (p Page) distinct() []Page {
	var pages []Page
	seen := map[PageID]bool{}
	for _, v := range p.Variants {
		if !seen[v.Page.ID] && !v.isCommon() {
			seen[v.Page.ID] = true
			pages = append(pages, v.Page)
		}
	}
	return pages
}

// Slots is how many slots the page and its variants take, of PageMemory each. What
// all pages share does not count.
func (p Page) Slots() int { return 1 + len(p.distinct()) }

// content is the page as the kernel reads it, with the slots that the pages of its
// variants are in; nil: it has none.
func (p Page) content(slots map[PageID]uint32) *bpf.DirectorPage {
	c := &bpf.DirectorPage{
		Digest:   uint64(p.ID),
		Length:   uint32(len(p.Response)),
		Head:     uint32(p.Head),
		Speech:   bpf.DirectorSpeech(p.Speech),
		Burst:    uint32(max(1, p.Burst)),
		Variants: uint32(len(p.Variants)),
		Alike:    p.alike(),
	}
	for i, v := range p.Variants {
		c.Variant[i] = bpf.DirectorVariant{
			Slot:    slots[v.Page.ID],
			Length:  uint16(len(v.Page.Response)),
			Head:    uint16(v.Page.Head),
			Coding:  bpf.DirectorCoding(v.Coding),
			Opening: bpf.DirectorOpening(v.Opening),
		}
		if v.Host != "" {
			c.Variant[i].Host = HostDigest(v.Host)
		}
	}
	copy(c.Bytes[:], p.Response)
	copy(c.Sums[:], p.Sums)
	return c
}
