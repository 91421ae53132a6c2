package wire

// Bounds for the parts of a chunked body that are not its content. net/http has the same.
const (
	maxChunkLine = 4 << 10
	maxTrailer   = 4 << 10
	maxChunkSize = 1<<62 - 1 // a digit more still fits
)

// chunked follows a body in chunks (RFC 9112 section 7.1). The zero value is at its first byte.
type chunked struct {
	part      chunkPart
	length    int   // of the chunk's line, or of the trailer section, so far
	remaining int64 // of the chunk's data
	fields    fields
}

type chunkPart uint8

const (
	sizeStart chunkPart = iota
	inSize
	inExtension
	sizeEnd // after the CR
	inData
	afterData // a CR is to come
	dataEnd   // after that
	inTrailer
	bodyEnd
)

// scan goes through bytes of the body. It returns how many of them there is nothing wrong with, and whether there is with
// the one after those. It stops at the body's end.
func (k *chunked) scan(body []byte) (n int, ok bool) {
	for n < len(body) && k.part != bodyEnd {
		if k.part == inData {
			data := int(min(k.remaining, int64(len(body)-n)))
			k.data(data)
			n += data
			continue
		}
		if !k.next(body[n]) {
			return n, false
		}
		n++
	}
	return n, true
}

// data tells of bytes of the chunk's data.
func (k *chunked) data(n int) {
	k.remaining -= int64(n)
	if k.remaining == 0 {
		k.part = afterData
	}
}

// next takes the next byte, which is none of a chunk's data, and reports whether it may be there.
func (k *chunked) next(b byte) bool {
	switch k.part {
	case sizeEnd:
		k.begin()
		return b == '\n'
	case afterData:
		k.part = dataEnd
		return b == '\r'
	case dataEnd:
		k.part, k.length = sizeStart, 0
		return b == '\n'
	case inTrailer:
		return k.trailer(b)
	default:
		return k.size(b)
	}
}

// size takes a byte of the line that has the chunk's size.
func (k *chunked) size(b byte) bool {
	k.length++
	digit, isDigit := hexValue(b)
	switch {
	case k.length > maxChunkLine:
		return false
	case k.part == inExtension && is(b, text):
	case b == '\r' && (k.part == inSize || k.part == inExtension):
		k.part = sizeEnd
	case isDigit && k.part <= inSize && k.remaining <= maxChunkSize>>4:
		k.part, k.remaining = inSize, k.remaining<<4|digit
	case b == ';' && k.part == inSize:
		k.part = inExtension
	default:
		return false
	}
	return true
}

// begin begins what comes after the line with the size.
func (k *chunked) begin() {
	k.part = inData
	if k.remaining == 0 { // the last chunk
		k.part, k.length = inTrailer, 0
	}
}

// trailer takes a byte of the trailer section.
func (k *chunked) trailer(b byte) bool {
	k.length++
	event, fault := k.fields.next(b)
	if event == section {
		k.part = bodyEnd
	}
	return fault == nil && k.length <= maxTrailer
}

// poison is what net/http reads in place of what is at fault in a chunked body. Wherever it comes, but for the data of a
// chunk, where nothing can be at fault, its chunked reader refuses it: a CR before the CR and LF is valid nowhere, and in
// a trailer section, where it may not look at that, a line without a colon follows.
//
// An error from Read would do the same, but net/http would take it for a client that has gone, and end the request's
// context; the handler could no longer tell that the body is broken, and say so.
const poison = "\r\r\nx\r\n\r\n"
