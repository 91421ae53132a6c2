package http1

import "strconv"

// byteClass says what a byte may be part of. One table lookup classifies a byte.
type byteClass uint8

const (
	tokenByte  byteClass = 1 << iota // RFC 9110 section 5.6.2: methods and field names
	targetByte                       // a request target: everything but controls and the space
	textByte                         // a field value: targetByte, space and HTAB
)

var byteClasses = func() (table [256]byteClass) {
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

// IsToken reports whether text is a token: RFC 9110 section 5.6.2.
func IsToken(text string) bool { return consistsOf(text, tokenByte) }

// consistsOf reports whether text is not empty, and all its bytes are of a class.
func consistsOf[T string | []byte](text T, want byteClass) bool {
	for i := range len(text) {
		if byteClasses[text[i]]&want == 0 {
			return false
		}
	}
	return len(text) > 0
}

// parseDecimal parses 1*DIGIT.
func parseDecimal(digits string) (n int64, ok bool) {
	value, err := strconv.ParseUint(digits, 10, 63) // no sign, and with a base no underscores
	return int64(value), err == nil
}
