package http1

// This file is the parser. It can be read next to RFC 9112, whose order it follows. The rules of RFC 9110 that it needs come last.

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"etrusted-broker/internal/hostport"
)

// Limits of a request's header. More lines than apps send would take more memory than their bytes.
const (
	maxRequestHeader = 64 << 10
	maxRequestLines  = 4096
	// maxMalformedMethod is the length of the longest method that a malformed request is said to have.
	maxMalformedMethod = 32
)

// Limits of a response's header.
const (
	maxResponseHeader      = 256 << 10
	maxResponseFields      = 16 << 10
	maxResponseFoldedLines = 256 // each copies the value so far
)

// Limits for those parts of a chunked body that are not its data.
const (
	maxChunkLine = 4 << 10
	maxTrailer   = 4 << 10
	// maxChunkOverhead limits how much longer than the data the lines with the sizes may be in all: a sender must not keep the
	// recipient busy with extensions.
	maxChunkOverhead = 16 << 10
)

// requestParser parses the header of a request (RFC 9112 section 2.1) while it arrives, so that a malformed one is refused at once.
type requestParser struct {
	size    int // of the lines so far, in bytes
	lines   int // the request line is the first
	checked int // bytes of the line that is not complete yet
}

// parse takes what has arrived of a header from b: RFC 9112 section 2.2. It reports whether the header is complete.
func (p *requestParser) parse(r *Request, b *buffer) (complete bool, _ *RequestError) {
	for {
		text := b.cutLines(maxRequestHeader - p.size)
		if text == "" {
			return false, p.checkIncompleteLine(r, b.unread())
		}
		if n := strings.Count(text, "\n"); n > cap(r.Fields)-len(r.Fields) {
			r.Fields = slices.Grow(r.Fields, max(n, 3*len(r.Fields))) // append would take more memory
		}
		for line := range strings.Lines(text) {
			p.size += len(line)
			line = strings.TrimSuffix(line, "\r\n")
			if line == "" && p.lines > 0 {
				return true, cmp.Or(r.checkTarget(), r.parseFraming(), r.parseExpect(), r.checkTrailer())
			}
			if err := cmp.Or(checkText(line), p.parseLine(r, line)); err != nil {
				return false, err
			}
		}
		p.checked = 0
	}
}

// checkIncompleteLine checks the beginning of the next line: RFC 9112 section 2.2.
func (p *requestParser) checkIncompleteLine(r *Request, rest []byte) *RequestError {
	if p.lines == 0 && r.Method == "" {
		_ = r.parseRequestLine(string(rest[:min(len(rest), maxMalformedMethod+1)])) // if more never arrives, the method is known
	}
	rest = rest[:min(len(rest), maxRequestHeader-p.size)]
	text := bytes.TrimSuffix(rest, []byte{'\r'})
	if err := checkText(text[p.checked:]); err != nil {
		return err
	}
	if p.checked = len(text); p.size+len(rest) == maxRequestHeader {
		return errTooLong
	}
	return nil
}

// checkText checks a line without its CR LF. A CR or LF in it is an error: RFC 9112 section 2.2 lets a recipient accept some, but a
// server behind it may not.
func checkText[T string | []byte](line T) *RequestError {
	for i := range len(line) {
		switch b := line[i]; {
		case byteClasses[b]&textByte != 0:
		case b == '\r' || b == '\n':
			return errLineEnd
		default:
			return errControlCharacter
		}
	}
	return nil
}

// parseLine parses a line of a request's header: RFC 9112 sections 2.1 and 2.2.
func (p *requestParser) parseLine(r *Request, line string) *RequestError {
	switch {
	case line == "" && p.size > len("\r\n"):
		return errEmptyLines
	case line == "": // one is allowed: RFC 9112 section 2.2
	case p.lines == 0:
		p.lines = 1
		return r.parseRequestLine(line)
	case p.lines == maxRequestLines:
		return errTooLong
	case line[0] == ' ' || line[0] == '\t':
		return errFolding // RFC 9112 section 5.2
	default:
		p.lines++
		field, ok := parseField(line, "")
		if !ok {
			return errFieldLine
		}
		r.Fields = append(r.Fields, field)
	}
	return nil
}

// InvalidResponseError reports that an upstream's response is not valid HTTP. It contains nothing of the response.
type InvalidResponseError struct{ detail string }

// Error says what is wrong.
func (e *InvalidResponseError) Error() string { return e.detail }

var (
	errStatusLine      = &InvalidResponseError{"the status line is malformed"}
	errResponseField   = &InvalidResponseError{"a field of the header is malformed"}
	errResponseTooLong = &InvalidResponseError{"the header is too long"}
)

// responseHead is the header of a response, status line and field lines: RFC 9112 section 2.1.
type responseHead struct {
	ClientResponse
	size         int // of the lines so far, in bytes
	folded       int // how many lines so far continue another
	minorVersion int // of HTTP/1: 0 or 1
	chunked      bool
	close        bool // the connection ends with this response
}

// parse takes what has arrived of a header from b (RFC 9112 section 2.2), and reports whether it is complete. What cannot be a response
// is an error at once.
func (h *responseHead) parse(b *buffer) (complete bool, err error) {
	text := b.cutLines(maxResponseHeader - h.size)
	h.size += len(text)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") // without a CR too: RFC 9112 section 2.2
		switch {
		case h.Status == 0:
			err = h.parseStatusLine(line)
		case line == "":
			return true, h.parseFraming()
		case len(h.Fields) == maxResponseFields:
			err = errResponseTooLong
		default:
			err = h.parseFieldLine(line)
		}
		if err != nil {
			return false, err
		}
	}
	switch rest := string(b.unread()[:min(len(b.unread()), len("HTTP/"))]); {
	case h.Status == 0 && !strings.HasPrefix("HTTP/", rest):
		return false, errStatusLine
	case h.size+len(b.unread()) >= maxResponseHeader:
		return false, errResponseTooLong
	}
	return false, nil
}

// parseRequestLine parses a request line: RFC 9112 section 3.
func (r *Request) parseRequestLine(line string) *RequestError {
	method, rest, found := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if !found || !consistsOf(method, tokenByte) {
		return errRequestLine
	}
	major, minor, ok := http.ParseHTTPVersion(version)
	r.Method, r.Target, r.MinorVersion = method, target, minor
	switch {
	case !ok || !consistsOf(target, targetByte):
		return errRequestLine
	case major != 1 || minor > 1:
		return errVersion
	}
	return nil
}

// checkTarget checks the request target: RFC 9112 section 3.2.
func (r *Request) checkTarget() *RequestError {
	if r.Target[0] == '/' {
		path, _, _ := strings.Cut(r.Target, "?")
		if _, err := url.PathUnescape(path); err != nil {
			return errTarget // RFC 3986 section 2.1: a percent sign is followed by two hexadecimal digits
		}
		return nil
	}
	isConnect, target := r.Method == http.MethodConnect, r.Target
	if isConnect {
		target = "http://" + target // the authority-form of section 3.2.3
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || isConnect && !isHost(r.Target) || u.Host != "" && !isHost(u.Host) {
		return errTarget
	}
	return nil
}

// isHost reports whether text is uri-host [ ":" port ]: RFC 9112 sections 3.2.3 and 3.2.4.
func isHost(text string) bool {
	_, _, ok := hostport.Split(text)
	return ok
}

// parseStatusLine parses a status line: RFC 9112 section 4. The reason may be missing, and so may the space before it.
func (h *responseHead) parseStatusLine(line string) error {
	version, rest, _ := strings.Cut(line, " ")
	if _, _, ok := http.ParseHTTPVersion(version); !ok {
		return errStatusLine
	}
	if version >= "HTTP/1.1" {
		h.minorVersion = 1
	}
	status, reason, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	n, ok := parseDecimal(status)
	if len(status) != 3 || !ok || n < 100 || reason != "" && !consistsOf(reason, textByte) {
		return errStatusLine
	}
	h.Status, h.Reason = int(n), trimOWS(reason)
	return nil
}

// parseField parses a field line, whose bytes are text: RFC 9112 section 5. The bytes in trim may be between name and colon (section
// 5.1), where requests must have none.
func parseField(line, trim string) (field Field, ok bool) {
	name, value, found := strings.Cut(line, ":")
	name = strings.TrimRight(name, trim)
	return Field{name, trimOWS(value)}, found && consistsOf(name, tokenByte)
}

// parseFieldLine parses a field line: RFC 9112 section 5. Whitespace before the colon is removed (section 5.1), and a folded line
// continues the value after one space (section 5.2).
func (h *responseHead) parseFieldLine(line string) error {
	if !consistsOf(line, textByte) {
		return errResponseField
	}
	if line[0] == ' ' || line[0] == '\t' {
		if h.folded++; len(h.Fields) == 0 || h.folded > maxResponseFoldedLines {
			return errResponseField
		}
		last := &h.Fields[len(h.Fields)-1]
		last.Value = trimOWS(last.Value + " " + trimOWS(line))
		return nil
	}
	field, ok := parseField(line, " \t")
	if !ok {
		return errResponseField
	}
	h.Fields = append(h.Fields, field)
	return nil
}

// parseFraming finds out where the request ends, and for which host it is: RFC 9112 sections 3.2, 6.1 and 6.3. Two servers that understand
// these fields differently are what request smuggling is made of (section 11.2), so whatever can be understood in two ways is
// an error.
func (r *Request) parseFraming() *RequestError {
	for coding := range r.Fields.Lines("Transfer-Encoding") {
		if r.ContentLength < 0 || r.MinorVersion == 0 || r.Fields.Has("Content-Length") || !EqualFold(coding, "chunked") {
			return errTransferEncoding
		}
		r.ContentLength = -1
	}
	lengths, hosts := 0, 0
	for length := range r.Fields.Lines("Content-Length") {
		var ok bool
		if r.ContentLength, ok = parseDecimal(length); !ok || lengths > 0 {
			return errContentLength
		}
		lengths++
	}
	for r.Host = range r.Fields.Lines("Host") {
		hosts++
	}
	if hosts > 1 || hosts == 0 && r.MinorVersion > 0 || r.Host != "" && !isHost(r.Host) { // it may be empty: RFC 9110 section 7.2
		return errHost
	}
	return nil
}

// parseFraming finds out where the response ends: RFC 9112 section 6.3.
func (h *responseHead) parseFraming() error {
	for coding := range h.Fields.Lines("Transfer-Encoding") {
		if h.chunked || h.minorVersion == 0 || !EqualFold(coding, "chunked") {
			return &InvalidResponseError{"Transfer-Encoding is not chunked, or in HTTP/1.0"}
		}
		h.chunked = true
	}
	first := "" // Content-Length
	for length := range h.Fields.Lines("Content-Length") {
		n, ok := parseDecimal(length)
		if !ok || first != "" && length != first { // identical ones are accepted: RFC 9110 section 8.6
			return &InvalidResponseError{"Content-Length is not one number"}
		}
		first, h.ContentLength = length, n
	}
	h.close = h.Fields.endsConnection(h.minorVersion) || h.chunked && first != "" // with both, it may be an attempt to split responses
	if h.chunked {
		h.ContentLength = -1
	}
	return nil
}

// bodySection is what comes next: in a chunked body (RFC 9112 section 7.1) each of these, in another one always data.
type bodySection uint8

const (
	chunkSizeSection bodySection = iota
	dataSection
	chunkEndSection
	trailerSection
)

// parse consumes from the buffer what is not content of a chunked body, as far as it has arrived: RFC 9112 section 7.1.
func (b *body) parse() {
	for b.err == nil && b.section != dataSection {
		line, ok := b.line()
		if !ok {
			return
		}
		b.parseLine(line)
		b.buffer.consume(len(line) + len("\r\n"))
	}
}

// line returns the next line, without its CR LF, if it is complete. A control character in it or an excessive length is an error.
func (b *body) line() (line []byte, ok bool) {
	limit := [...]int{chunkSizeSection: maxChunkLine, chunkEndSection: 0, trailerSection: int(b.remaining)}[b.section] + len("\r\n")
	unread := b.buffer.unread()
	unread = unread[:min(len(unread), limit)]
	line, _, ok = bytes.Cut(unread, []byte("\r\n"))
	if !ok {
		line = bytes.TrimSuffix(unread, []byte{'\r'})
	}
	if checkText(line) != nil || !ok && len(unread) == limit {
		b.err = ErrChunk
		return nil, false
	}
	return line, ok
}

// parseLine parses a line of a chunked body: RFC 9112 section 7.1, and 7.1.2 for the trailer section.
func (b *body) parseLine(line []byte) {
	switch b.section {
	case chunkSizeSection:
		size, ok := parseChunkSize(line, b.framing == byLenientChunks)
		b.overhead = max(0, b.overhead+int64(len(line))-16-2*size) // a size, with a short extension, is no overhead
		switch {
		case !ok || b.overhead > maxChunkOverhead:
			b.err = ErrChunk
		case size == 0:
			b.section, b.remaining = trailerSection, maxTrailer
		default:
			b.section, b.remaining = dataSection, size
		}
	case chunkEndSection:
		b.section = chunkSizeSection
	case trailerSection:
		if len(line) == 0 {
			b.err = io.EOF
			return
		}
		b.remaining -= int64(len(line) + len("\r\n"))
		field, ok := parseField(string(line), "")
		if b.remaining < 0 || !ok {
			b.err = ErrChunk
			return
		}
		b.trailer = append(b.trailer, field)
	}
}

// parseChunkSize parses the line before a chunk (RFC 9112 section 7.1): its size, and extensions, which are ignored (section 7.1.1).
func parseChunkSize(line []byte, lenient bool) (size int64, ok bool) {
	rest := bytes.TrimLeft(line, "0123456789abcdefABCDEF")
	digits := line[:len(line)-len(rest)]
	value, err := strconv.ParseUint(string(digits), 16, 62)
	if lenient {
		rest = bytes.Trim(rest, " \t")
	}
	return int64(value), err == nil && len(digits) <= 16 && (len(rest) == 0 || rest[0] == ';') // more zeros in front are not needed
}

// endsConnection reports whether the connection ends with a message of HTTP/1.minorVersion: RFC 9112 section 9.3.
func (f Fields) endsConnection(minorVersion int) bool {
	keepAlive := minorVersion > 0
	for option := range f.Elements("Connection") {
		switch {
		case EqualFold(option, "close"):
			return true
		case EqualFold(option, "keep-alive"):
			keepAlive = true
		}
	}
	return !keepAlive
}

// byteClass says what a byte may be part of: RFC 9110 section 5. One table lookup classifies a byte.
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

// trimOWS removes optional whitespace (RFC 9110 section 5.6.3) from both ends.
func trimOWS(text string) string { return strings.Trim(text, " \t") }

// checkTrailer checks that the Trailer field names no field by which a message is framed: RFC 9110 section 6.5.1.
func (r *Request) checkTrailer() *RequestError {
	for name := range r.Fields.Elements("Trailer") {
		if EqualFold(name, "Content-Length") || EqualFold(name, "Transfer-Encoding") || EqualFold(name, "Trailer") {
			return errTrailer
		}
	}
	return nil
}

// parseDecimal parses 1*DIGIT, as in RFC 9110 section 8.6.
func parseDecimal(digits string) (n int64, ok bool) {
	value, err := strconv.ParseUint(digits, 10, 63) // no sign, and with a base no underscores
	return int64(value), err == nil
}

// parseExpect parses the Expect field, which HTTP/1.0 does not have: RFC 9110 section 10.1.1.
func (r *Request) parseExpect() *RequestError {
	for expectation := range r.Fields.Elements("Expect") {
		if r.ExpectContinue = r.MinorVersion > 0; r.ExpectContinue && !EqualFold(expectation, "100-continue") {
			return errUnsupportedExpectation
		}
	}
	return nil
}
