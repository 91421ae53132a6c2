package linkrewrite

// scanner finds the links in JSON text that it is given in pieces. What it knows of the text before is of a fixed size.
type scanner struct {
	from   string
	at     place
	before byte // the last of {}[],:" outside of strings; 0 at the beginning
	nesting
}

// place is where in the text the next byte stands.
type place int

const (
	outside place = iota
	opened        // behind the opening quote of a value, of which nothing is known yet
	inside        // in a string that is no link, or behind its base
	escaped       // in such a string, behind a backslash
)

// next goes on with text. The first pass bytes of it are to be passed on, and the length bytes behind them are the base of
// a link, if that is not 0; slashed tells whether they spell a slash as \/. The next call goes on behind them.
//
// Where text holds bytes behind the first pass and length is 0, more of it is needed to tell what they are. They are to
// be given again, with more of what follows or with last.
func (s *scanner) next(text []byte, last bool) (pass, length int, slashed bool) {
	i := 0
	for i < len(text) {
		switch s.at {
		case outside:
			i += s.structure(text[i:])
		case opened:
			n, slashed, v := match(text[i:], s.from)
			if v == undecided && !last {
				return i, 0, false
			}
			s.at = inside
			if v == yes {
				return i, n, slashed
			}
		case inside:
			i += s.content(text[i:])
		case escaped:
			i++
			s.at = inside
		}
	}
	return len(text), 0, false
}

// structure follows the text up to the next string, and returns how long that is with its opening quote.
func (s *scanner) structure(text []byte) int {
	for i, c := range text {
		if !structural[c] {
			continue
		}
		switch c {
		case '"':
			s.at = inside
			if s.isValue() {
				s.at = opened
			}
			s.before = c
			return i + 1
		case '{', '[':
			s.open(c == '{')
		case '}', ']':
			s.close()
		}
		s.before = c
	}
	return len(text)
}

var structural = [256]bool{'{': true, '}': true, '[': true, ']': true, ',': true, ':': true, '"': true}

// isValue reports whether a string that begins here is a value. What stands before it tells, and behind a comma whether
// the list is one of values. At the top level, values may follow each other with nothing between them.
func (s *scanner) isValue() bool {
	switch {
	case s.depth == 0:
		return true
	case !s.known():
		return false
	case s.before == ',':
		return !s.inObject()
	default:
		return s.before == ':' || s.before == '['
	}
}

// content follows the rest of a string, and returns how long it is with its closing quote.
func (s *scanner) content(text []byte) int {
	for i := 0; ; {
		i += untilSpecial(text[i:])
		switch {
		case i == len(text):
			return i
		case text[i] == '"':
			s.at = outside
			return i + 1
		case i+1 == len(text):
			s.at = escaped
			return i + 1
		default:
			i += 2
		}
	}
}
