package linkrewrite

// scanner finds the links in JSON text that arrives in chunks. Its size is fixed.
type scanner struct {
	from     string
	state    state
	previous byte // the last of {}[],:" outside of strings; 0 at the start
	nesting
}

// state is the context of the next byte.
type state int

const (
	outsideString  state = iota
	atValueStart         // after the opening quote of a string value
	insideString         // in a string that is not a link, or after its base
	afterBackslash       // in such a string, after a backslash
)

// next scans text. Its first pass bytes are unchanged. If length is not 0, the next length bytes are the base of a
// link, and slashed reports whether they contain a slash written as \/. The next call continues after them.
//
// If length is 0 and pass is less than len(text), the remaining bytes are undecided. The next call must pass them
// again, with more text or with last.
func (s *scanner) next(text []byte, last bool) (pass, length int, slashed bool) {
	i := 0
	for i < len(text) {
		switch s.state {
		case outsideString:
			i += s.scanStructure(text[i:])
		case atValueStart:
			n, slashed, result := matchBase(text[i:], s.from)
			if result == needMore && !last {
				return i, 0, false
			}
			s.state = insideString
			if result == matched {
				return i, n, slashed
			}
		case insideString:
			i += s.scanString(text[i:])
		case afterBackslash:
			i++
			s.state = insideString
		}
	}
	return len(text), 0, false
}

// scanStructure scans to the next string and returns the number of bytes, with its opening quote.
func (s *scanner) scanStructure(text []byte) int {
	for i, c := range text {
		if !structural[c] {
			continue
		}
		switch c {
		case '"':
			s.state = insideString
			if s.isValue() {
				s.state = atValueStart
			}
			s.previous = c
			return i + 1
		case '{', '[':
			s.open(c == '{')
		case '}', ']':
			s.close()
		}
		s.previous = c
	}
	return len(text)
}

var structural = [256]bool{'{': true, '}': true, '[': true, ']': true, ',': true, ':': true, '"': true}

// isValue reports whether a string that starts here is a value. After a comma, that depends on whether this is an
// array. At the top level, values may follow each other directly.
func (s *scanner) isValue() bool {
	switch {
	case s.depth == 0:
		return true
	case !s.tracked():
		return false
	case s.previous == ',':
		return !s.inObject()
	default:
		return s.previous == ':' || s.previous == '['
	}
}

// scanString scans the rest of a string and returns the number of bytes, with its closing quote.
func (s *scanner) scanString(text []byte) int {
	for i := 0; ; {
		i += indexSpecial(text[i:])
		switch {
		case i == len(text):
			return i
		case text[i] == '"':
			s.state = outsideString
			return i + 1
		case i+1 == len(text):
			s.state = afterBackslash
			return i + 1
		default:
			i += 2
		}
	}
}
