package wire

// fields follows field lines, of a header or a trailer section, up to and with the empty line (RFC 9112 section 5). The
// zero value is at the first line's beginning.
//
// It goes byte by byte, as all of the package's grammar does: how the bytes were cut on their way cannot then make a
// difference, and what is at fault is seen at the first byte that no valid message could have there.
type fields uint8

const (
	lineStart fields = iota
	inName
	inValue
	valueEnd   // after a CR
	sectionEnd // after the empty line's CR
)

// fieldEvent is what a byte completed.
type fieldEvent uint8

const (
	nothing fieldEvent = iota
	name               // the byte is the colon
	line               // the byte is the LF
	section            // the byte is the LF of the empty line
)

// next takes the next byte.
func (f *fields) next(b byte) (fieldEvent, *RequestError) {
	switch *f {
	case lineStart:
		return nothing, f.begin(b)
	case inName:
		if b == ':' {
			*f = inValue
			return name, nil
		}
		if !is(b, token) {
			return nothing, wrong(b, faultField)
		}
	case inValue:
		if b == '\r' {
			*f = valueEnd
		} else if !is(b, text) {
			return nothing, wrong(b, faultField)
		}
	case valueEnd, sectionEnd:
		if b != '\n' {
			return nothing, faultLineEnd
		}
		if *f == sectionEnd {
			return section, nil
		}
		*f = lineStart
		return line, nil
	}
	return nothing, nil
}

func (f *fields) begin(b byte) *RequestError {
	switch {
	case b == '\r':
		*f = sectionEnd
	case b == ' ', b == '\t':
		return faultFolding
	case is(b, token):
		*f = inName
	default:
		return wrong(b, faultField)
	}
	return nil
}

// wrong says what is at fault with a byte that must not be where it is.
func wrong(b byte, otherwise *RequestError) *RequestError {
	switch {
	case b == '\n':
		return faultLineEnd // its CR is missing
	case is(b, control):
		return faultControl
	default:
		return otherwise
	}
}
