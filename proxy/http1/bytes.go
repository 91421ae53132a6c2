package http1

import "math"

// class says what a byte may be part of. One table lookup classifies a byte.
type class uint8

const (
	tokenByte  class = 1 << iota // RFC 9110 section 5.6.2: methods and field names
	targetByte                   // a request target: everything but controls and the space
	textByte                     // a field value: targetByte, space and HTAB
)

var classes = func() (table [256]class) {
	for b := range table {
		switch {
		case b == '\t', b == ' ':
			table[b] = textByte
		case b > ' ' && b != 0x7f:
			table[b] = targetByte | textByte
		}
	}
	const tokens = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~"
	for i := range len(tokens) {
		table[tokens[i]] |= tokenByte
	}
	return table
}()

// consistsOf reports whether text is not empty, and all its bytes are of a class.
func consistsOf[T string | []byte](text T, want class) bool {
	for i := range len(text) {
		if classes[text[i]]&want == 0 {
			return false
		}
	}
	return len(text) > 0
}

// parseDecimal parses 1*DIGIT.
func parseDecimal(digits string) (n int64, ok bool) {
	for i := range len(digits) {
		digit := int64(digits[i]) - '0'
		if digit < 0 || digit > 9 || n > (math.MaxInt64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, digits != ""
}

// hexDigit returns the value of a hexadecimal digit.
func hexDigit(b byte) (value int64, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return int64(b - '0'), true
	case 'a' <= b && b <= 'f':
		return int64(b-'a') + 10, true
	case 'A' <= b && b <= 'F':
		return int64(b-'A') + 10, true
	default:
		return 0, false
	}
}
