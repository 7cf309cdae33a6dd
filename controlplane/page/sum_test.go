// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// naiveSum is the sum of RFC 1071, section 1, word by word with end-around carry.
func naiveSum(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

func TestSumOfEveryPart(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	noise := make([]byte, 331)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for name, b := range map[string][]byte{
		"noise, odd length":  noise,
		"noise, even length": noise[1:],
		"ones":               bytes.Repeat([]byte{0xff}, 300),
		"zeros":              make([]byte, 41),
		"one byte":           {0x80},
		"nothing":            {},
	} {
		t.Run(name, func(t *testing.T) {
			image := newImage(b, 0, SpeechHTTP)
			for off := range len(b) + 1 {
				for n := range len(b) - off + 1 {
					if got, want := image.Sum(off, n), naiveSum(b[off:off+n]); got != want {
						t.Fatalf("sum of %d bytes from %d on is %#04x, want %#04x", n, off, got, want)
					}
				}
			}
		})
	}
}

func TestSumOfTheLongestPage(t *testing.T) {
	image := newImage(bytes.Repeat([]byte{0xff}, MaxLength), 0, SpeechHTTP)
	if got, want := len(image.Sums), MaxLength/2+1; got != want {
		t.Fatalf("%d sums, want %d", got, want)
	}
	for _, part := range [][2]int{{0, MaxLength}, {1, MaxLength - 1}, {MaxLength - 1, 1}} {
		got, want := image.Sum(part[0], part[1]), naiveSum(image.Response[part[0]:part[0]+part[1]])
		if got != want {
			t.Errorf("part %v: %#04x, want %#04x", part, got, want)
		}
	}
}

func TestSumOutside(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a part outside the response has a sum")
		}
	}()
	newImage([]byte("abc"), 0, SpeechHTTP).Sum(2, 2)
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("HTTP/1.1 502 Service temporarily down\r\n\r\n"), uint16(3), uint16(7))
	f.Add([]byte{0xff, 0xff, 0xff}, uint16(1), uint16(2))
	f.Fuzz(func(t *testing.T, b []byte, off, n uint16) {
		if len(b) > MaxLength {
			return
		}
		from := int(off) % (len(b) + 1)
		length := int(n) % (len(b) - from + 1)
		if got, want := newImage(b, 0, SpeechHTTP).Sum(from, length), naiveSum(b[from:from+length]); got != want {
			t.Errorf("sum of %d bytes from %d on is %#04x, want %#04x", length, from, got, want)
		}
	})
}
