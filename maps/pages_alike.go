// SPDX-License-Identifier: Apache-2.0

package maps

import "bytes"

// variantGrid is VARIANT_GRID of bpf/include/types.h.
const variantGrid = 32

// alike is how many bytes a client may be sent of the page while nothing tells
// which variant suits it, 0 for none. It may be that another segment of the same
// request has told, and that its answer comes to the client before this one or
// after it. So all variants of HTTP must begin alike, and none may have its FIN
// within these bytes, or within as many behind them: that is what the next
// acknowledgement brings.
func (p Page) alike() uint32 {
	fits := func(v Page, opening Opening) bool {
		if opening == OpeningTLS { // the other bytes are an error to it, too
			return len(v.Response) >= variantGrid
		}
		return len(v.Response) >= 2*variantGrid && (v.Head == 0 || v.Head >= 2*variantGrid) &&
			bytes.Equal(v.Response[:variantGrid], p.Response[:variantGrid])
	}
	if len(p.Variants) == 0 || len(p.Response) < variantGrid || !fits(p, OpeningHTTP) {
		return 0
	}
	for _, v := range p.Variants {
		if !fits(v.Page, v.Opening) {
			return 0
		}
	}
	return variantGrid
}
