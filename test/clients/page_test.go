// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"fmt"
	"image/color"
)

// background is the page's colour, which no browser has of its own.
var background = color.RGBA{R: 0x5b, G: 0x2a, B: 0x86, A: 0xff}

// headline is what people are to read.
const headline = "Back at nine"

// sizes are those of the bodies, by name: a short one is in a segment.
func sizes() map[string]int { return map[string]int{"short": 1000, "long": 20000, "paced": 20000} }

// page is a body. No two stretches of it are the same.
func page(name string) []byte {
	size := sizes()[name]
	var b bytes.Buffer
	fmt.Fprintf(&b, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>%s</title>
<style>body { background: #%02x%02x%02x; color: #ffffff; font: 20px sans-serif; margin: 80px }</style></head>
<body><h1>%s</h1><p>The %s page.</p>
`, headline, background.R, background.G, background.B, headline, name)
	b.WriteString("<!--\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "line %d\n", i*i)
	}
	const end = "\n-->\n"
	return append(b.Bytes()[:size-len(end)], end...)
}
