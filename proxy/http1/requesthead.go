package http1

import (
	"bytes"
	"cmp"
	"net/http"
	"net/url"
	"slices"
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

// requestParser parses the header of a request while it arrives, so that a malformed one is refused at once.
type requestParser struct {
	size    int // of the lines so far, in bytes
	lines   int // the request line is the first
	checked int // bytes of the line that is not complete yet
}

// parse takes what has arrived of a header from b. It reports whether the header is complete.
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

// checkIncompleteLine checks the beginning of the next line.
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

func isHost(text string) bool {
	_, _, ok := hostport.Split(text)
	return ok
}

// parseFraming finds out where the request ends, and for which host it is: RFC 9112 sections 3.2 and 6. Two servers that understand
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

// parseExpect parses the Expect field, which HTTP/1.0 does not have: RFC 9110 section 10.1.1.
func (r *Request) parseExpect() *RequestError {
	for expectation := range r.Fields.Elements("Expect") {
		if r.ExpectContinue = r.MinorVersion > 0; r.ExpectContinue && !EqualFold(expectation, "100-continue") {
			return errUnsupportedExpectation
		}
	}
	return nil
}

// checkTrailer checks that the Trailer field names no field by which a message is framed: RFC 9110 section 6.5.1.
func (r *Request) checkTrailer() *RequestError {
	for name := range r.Fields.Elements("Trailer") {
		if EqualFold(name, "Content-Length") || EqualFold(name, "Transfer-Encoding") || EqualFold(name, "Trailer") {
			return errTrailer
		}
	}
	return nil
}
