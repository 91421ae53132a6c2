package wire

// kind says what a byte may be part of. The table makes one look-up of what is asked for every byte of every header.
type kind uint8

const (
	token   kind = 1 << iota // RFC 9110 section 5.6.2: methods and field names
	printed                  // a target, for net/url to judge further; this is all but controls and the blank
	text                     // a field value: printed, the blank, HTAB
	control                  // what no line may hold: controls but HTAB, CR and LF, which have rules of their own
)

var kinds = func() (table [256]kind) {
	for b := range table {
		switch {
		case b == '\t':
			table[b] = text
		case b == '\r', b == '\n':
		case b < ' ', b == 0x7f:
			table[b] = control
		case b == ' ':
			table[b] = text
		default:
			table[b] = printed | text
		}
	}
	mark := func(as kind, bytes string) {
		for i := range len(bytes) {
			table[bytes[i]] |= as
		}
	}
	mark(token, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	mark(token, "!#$%&'*+-.^_`|~")
	return table
}()

func is(b byte, as kind) bool { return kinds[b]&as != 0 }

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// hexValue returns what a hexadecimal digit stands for.
func hexValue(b byte) (value int64, ok bool) {
	switch {
	case isDigit(b):
		return int64(b - '0'), true
	case 'a' <= b && b <= 'f':
		return int64(b-'a') + 10, true
	case 'A' <= b && b <= 'F':
		return int64(b-'A') + 10, true
	default:
		return 0, false
	}
}

// same compares without regard to ASCII case, and to no other: for Unicode, the Kelvin sign is a k.
func same(bytes []byte, lower string) bool {
	if len(bytes) != len(lower) {
		return false
	}
	for i, b := range bytes {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if b != lower[i] {
			return false
		}
	}
	return true
}

// trim takes the optional whitespace of RFC 9110 section 5.6.3 off both ends.
func trim(value []byte) []byte {
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for len(value) > 0 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	return value
}
