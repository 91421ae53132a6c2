package http1

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"etrusted-broker/internal/hostport"
)

// Limits of a request's header. More lines than apps send would take more memory than their bytes.
const (
	maxRequestHeader = 64 << 10
	maxRequestLines  = 4096
)

// requestHeadChecker checks the lines of a request's header while they arrive, so that a malformed one is refused at once. The
// zero value is at the beginning.
type requestHeadChecker struct {
	checked int // bytes
	line    int // where the current line begins
	lines   int // complete lines; the request line is the first
	begin   int // where the request line begins
}

// scan continues with a header of which head is all that has arrived. It returns the length of the header, with its empty
// line, once it is complete, and 0 before.
func (s *requestHeadChecker) scan(head []byte) (length int, _ *RequestError) {
	head = head[:min(len(head), maxRequestHeader)]
	for {
		for s.checked < len(head) && byteClasses[head[s.checked]]&textByte != 0 {
			s.checked++
		}
		switch rest := head[s.checked:]; {
		case len(rest) == 0 || len(rest) == 1 && rest[0] == '\r':
			if len(head) == maxRequestHeader {
				return 0, errTooLong
			}
			return 0, nil
		case rest[0] != '\r' && rest[0] != '\n':
			return 0, errControlCharacter
		case rest[0] == '\n' || rest[1] != '\n':
			return 0, errLineEnd // RFC 9112 section 2.2 lets a recipient accept these; a server behind it may not
		}
		line := head[s.line:s.checked]
		s.checked += len("\r\n")
		s.line = s.checked
		if len(line) == 0 && s.lines > 0 {
			return s.checked, nil
		}
		if err := s.checkLine(line); err != nil {
			return 0, err
		}
	}
}

// checkLine checks a complete line, without its CR LF.
func (s *requestHeadChecker) checkLine(line []byte) *RequestError {
	switch {
	case s.lines > 0:
		if s.lines++; s.lines > maxRequestLines {
			return errTooLong
		}
		return checkFieldLine(line)
	case len(line) > 0:
		s.lines = 1
		return checkRequestLine(line)
	case s.begin > 0:
		return errEmptyLines
	default:
		s.begin = s.checked // one empty line is allowed: RFC 9112 section 2.2
		return nil
	}
}

// checkRequestLine checks a request line: RFC 9112 section 3.
func checkRequestLine(line []byte) *RequestError {
	method, rest, _ := bytes.Cut(line, []byte{' '})
	target, version, _ := bytes.Cut(rest, []byte{' '})
	if !consistsOf(method, tokenByte) || !consistsOf(target, targetByte) {
		return errRequestLine
	}
	switch {
	case !isVersion(string(version)):
		return errRequestLine
	case version[5] != '1' || version[7] > '1':
		return errVersion
	}
	return nil
}

// isVersion reports whether text is an HTTP-version: RFC 9112 section 2.3.
func isVersion(text string) bool {
	return len(text) == len("HTTP/1.1") && text[:5] == versionPrefix && isDigit(text[5]) && text[6] == '.' && isDigit(text[7])
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// checkFieldLine checks a field line: RFC 9112 section 5. Its bytes are text, which is all that a value needs.
func checkFieldLine(line []byte) *RequestError {
	if line[0] == ' ' || line[0] == '\t' {
		return errFolding // section 5.2
	}
	for i, b := range line {
		if byteClasses[b]&tokenByte == 0 {
			if b == ':' && i > 0 { // no whitespace before it: section 5.1
				return nil
			}
			break
		}
	}
	return errFieldLine
}

// parse parses a complete header that scan has checked.
func (r *Request) parse(head string) *RequestError {
	line, rest, _ := strings.Cut(head, "\r\n")
	r.Method, line, _ = strings.Cut(line, " ")
	r.Target, line, _ = strings.Cut(line, " ")
	r.MinorVersion = int(line[len(line)-1] - '0')
	for rest != "\r\n" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		r.Fields = append(r.Fields, Field{name, trimOWS(value)})
	}
	if err := r.checkTarget(); err != nil {
		return err
	}
	return r.parseFraming()
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
	var hosts, lengths, codings int
	for _, field := range r.Fields {
		switch name := field.Name; {
		case EqualFold(name, "Host"):
			r.Host = field.Value
			hosts++
		case EqualFold(name, "Expect") && r.MinorVersion > 0 && !r.parseExpect(field.Value):
			return errUnsupportedExpectation
		case EqualFold(name, "Trailer") && !validTrailer(field.Value):
			return errTrailer
		case EqualFold(name, "Content-Length"):
			var ok bool
			if r.ContentLength, ok = parseDecimal(field.Value); !ok || lengths > 0 {
				return errContentLength
			}
			lengths++
		case EqualFold(name, "Transfer-Encoding"):
			if codings > 0 || !EqualFold(field.Value, "chunked") {
				return errTransferEncoding
			}
			codings++
		}
	}
	switch {
	case codings > 0 && (lengths > 0 || r.MinorVersion == 0):
		return errTransferEncoding
	case hosts > 1, hosts == 0 && r.MinorVersion > 0, r.Host != "" && !isHost(r.Host): // it may be empty: RFC 9110 section 7.2
		return errHost
	case codings > 0:
		r.ContentLength = -1
	}
	return nil
}

// parseExpect takes a line of the Expect field: RFC 9110 section 10.1.1.
func (r *Request) parseExpect(value string) bool {
	for element := range strings.SplitSeq(value, ",") {
		switch element = trimOWS(element); {
		case EqualFold(element, "100-continue"):
			r.ExpectContinue = true
		case element != "":
			return false
		}
	}
	return true
}

// validTrailer reports whether the Trailer field names no field by which a message is framed: RFC 9110 section 6.5.1.
func validTrailer(value string) bool {
	for name := range strings.SplitSeq(value, ",") {
		if name = trimOWS(name); EqualFold(name, "Content-Length") || EqualFold(name, "Transfer-Encoding") || EqualFold(name, "Trailer") {
			return false
		}
	}
	return true
}
