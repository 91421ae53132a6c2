package wire

// maxHead is how long a request's header may be. It is what the broker gives http.Server.MaxHeaderBytes too; that one
// lets a little more pass, so that this one's answer comes first.
const maxHead = 64 << 10

// head follows a request's header: the request line (RFC 9112 section 3), the field lines, the empty line. The zero value
// is at the request line's first byte.
type head struct {
	part requestPart
	seen int // bytes
	mark int // where the current part of the request line, or the current field line, began
	// methodEnd and colon are where they are, in the request line and the current field line.
	methodEnd, colon int
	old              bool // HTTP/1.0
	fields           fields
	framing          framing
}

type requestPart uint8

const (
	inMethod requestPart = iota
	inTarget
	inVersion
	requestLineEnd // after its CR
	inFields
	headEnd
)

// scan goes on through a header, of which it is given all that there is. It stops after the header's last byte, or before
// the byte that is at fault.
func (h *head) scan(header []byte) *RequestError {
	header = header[:min(len(header), maxHead)]
	for h.seen < len(header) && h.part != headEnd {
		if n := h.value(header[h.seen:]); n > 0 {
			h.seen += n
			continue
		}
		if fault := h.next(header, header[h.seen]); fault != nil {
			return fault
		}
		h.seen++
	}
	if h.seen == maxHead && h.part != headEnd {
		return faultTooLong
	}
	return nil
}

// value returns how many bytes go on with a field's value. Most bytes do, and this is several times as fast as to take
// them one by one.
func (h *head) value(header []byte) int {
	if h.part != inFields || h.fields != inValue {
		return 0
	}
	for n, b := range header {
		if !is(b, text) {
			return n
		}
	}
	return len(header)
}

func (h *head) next(header []byte, b byte) *RequestError {
	switch h.part {
	case inMethod:
		return h.method(b)
	case inTarget:
		return h.target(header, b)
	case inVersion:
		return h.version(header, b)
	case requestLineEnd:
		if b != '\n' {
			return faultLineEnd
		}
		h.begin(inFields)
		return nil
	default:
		return h.field(header, b)
	}
}

// begin begins a part after the current byte.
func (h *head) begin(part requestPart) { h.part, h.mark = part, h.seen+1 }

func (h *head) method(b byte) *RequestError {
	switch {
	case is(b, token):
		return nil
	case b == ' ' && h.seen > 0:
		h.methodEnd = h.seen
		h.begin(inTarget)
		return nil
	default:
		return wrong(b, faultRequestLine)
	}
}

func (h *head) target(header []byte, b byte) *RequestError {
	switch {
	case is(b, printed):
		return nil
	case b == ' ' && h.seen > h.mark:
		if !validTarget(header[:h.methodEnd], header[h.mark:h.seen]) {
			return faultTarget
		}
		h.begin(inVersion)
		return nil
	default:
		return wrong(b, faultRequestLine)
	}
}

// versionForm is that of RFC 9112 section 2.3, with 0 for a digit.
const versionForm = "HTTP/0.0"

func (h *head) version(header []byte, b byte) *RequestError {
	at := h.seen - h.mark
	switch {
	case at == len(versionForm) && b == '\r':
		version := string(header[h.mark:h.seen])
		if version != "HTTP/1.1" && version != "HTTP/1.0" {
			return faultVersion
		}
		h.old = version == "HTTP/1.0"
		h.begin(requestLineEnd)
		return nil
	case at < len(versionForm) && (b == versionForm[at] || versionForm[at] == '0' && isDigit(b)):
		return nil
	default:
		return wrong(b, faultRequestLine)
	}
}

func (h *head) field(header []byte, b byte) *RequestError {
	event, fault := h.fields.next(b)
	switch event {
	case name:
		h.colon = h.seen
	case line:
		fault = h.framing.field(header[h.mark:h.colon], trim(header[h.colon+1:h.seen-1]))
		h.mark = h.seen + 1
	case section:
		fault = h.framing.check(h.old)
		h.part = headEnd
	}
	return fault
}
