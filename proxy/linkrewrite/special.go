package linkrewrite

import (
	"encoding/binary"
	"math/bits"
)

// untilSpecial returns how many bytes of text stand before its first quote or backslash; all, if it has none.
//
// It looks at eight bytes at a time. bytes.IndexByte is faster in long text, but the strings of JSON are short. And having
// two bytes to look for, it would look for the second one again and again in a string that is full of the first.
func untilSpecial(text []byte) int {
	const (
		quotes      = '"' * ones
		backslashes = '\\' * ones
	)
	i := 0
	for ; i+8 <= len(text); i += 8 {
		eight := binary.LittleEndian.Uint64(text[i:])
		if found := zeros(eight^quotes) | zeros(eight^backslashes); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(text) && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

const ones = 0x0101010101010101

// zeros returns eight bytes of which the lowest that is not zero is where the lowest zero byte of eight is. Those above it
// may be wrong: the subtraction borrows from them.
func zeros(eight uint64) uint64 { return (eight - ones) & ^eight & (0x80 * ones) }
