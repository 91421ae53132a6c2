package http1

import (
	"bytes"
	"strings"
)

// Limits of a response's header.
const (
	maxResponseHeader = 256 << 10
	maxResponseFields = 16 << 10
)

// InvalidResponseError reports that an upstream's response is not valid HTTP. It contains nothing of the response.
type InvalidResponseError struct{ detail string }

// Error says what is wrong.
func (e *InvalidResponseError) Error() string { return e.detail }

var (
	errStatusLine       = &InvalidResponseError{"the status line is malformed"}
	errResponseField    = &InvalidResponseError{"a field of the header is malformed"}
	errResponseLength   = &InvalidResponseError{"Content-Length is not one number"}
	errResponseCoding   = &InvalidResponseError{"Transfer-Encoding is not chunked, or in HTTP/1.0"}
	errResponseTooLong  = &InvalidResponseError{"the header is too long"}
	errUnexpectedSwitch = &InvalidResponseError{"the protocol was switched without a request to do so"}
	errInformational    = &InvalidResponseError{"there are too many informational responses"}
	errEarlyTunnelData  = &InvalidResponseError{"the tunnel has data before it was used"}
)

// responseHead is the header of a response: status line and field lines.
type responseHead struct {
	ClientResponse
	minorVersion int // of HTTP/1: 0 or 1
	chunked      bool
	close        bool // the connection ends with this response
}

// versionPrefix is the beginning of a response.
const versionPrefix = "HTTP/"

// responseHeadFinder looks for the end of a response's header. The zero value is at the beginning.
type responseHeadFinder struct{ line int } // where the current line begins

// scan continues with a header of which head is all that has arrived. It returns the length of the header, with its empty
// line, once it is complete, and 0 before. What cannot be a response is an error at once: more may never arrive.
func (s *responseHeadFinder) scan(head []byte) (length int, _ error) {
	head = head[:min(len(head), maxResponseHeader)]
	if n := min(len(head), len(versionPrefix)); string(head[:n]) != versionPrefix[:n] {
		return 0, errStatusLine
	}
	for {
		end := bytes.IndexByte(head[s.line:], '\n') // without a CR too: RFC 9112 section 2.2
		if end < 0 {
			break
		}
		line := head[s.line : s.line+end]
		first := s.line == 0
		s.line += end + 1
		if len(line) == 0 || line[0] == '\r' {
			return s.line, nil // parse checks the line
		}
		if first && s.line == len(head) {
			var h responseHead
			if text, _ := cutLine(string(line)); h.parseStatusLine(text) != nil {
				return 0, errStatusLine
			}
		}
	}
	if len(head) == maxResponseHeader {
		return 0, errResponseTooLong
	}
	return 0, nil
}

// parse parses a complete header. fields is an empty slice to append to.
func (h *responseHead) parse(head string, fields Fields) error {
	*h = responseHead{ClientResponse: ClientResponse{Fields: fields, ContentLength: -1}}
	line, rest := cutLine(head)
	if err := h.parseStatusLine(line); err != nil {
		return err
	}
	for {
		line, rest = cutLine(rest)
		switch {
		case line == "" && rest == "":
			return h.parseFraming()
		case len(h.Fields) >= maxResponseFields:
			return errResponseTooLong
		}
		if err := h.parseFieldLine(line); err != nil {
			return err
		}
	}
}

// cutLine cuts a line off a header.
func cutLine(head string) (line, rest string) {
	line, rest, _ = strings.Cut(head, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// parseStatusLine parses a status line: RFC 9112 section 4. The reason may be missing, and so may the space before it.
func (h *responseHead) parseStatusLine(line string) error {
	version, rest, _ := strings.Cut(line, " ")
	if !isVersion(version) {
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

// parseFieldLine parses a field line: RFC 9112 section 5. Whitespace before the colon is removed (section 5.1), and a folded line
// continues the value after one space (section 5.2).
func (h *responseHead) parseFieldLine(line string) error {
	if !consistsOf(line, textByte) {
		return errResponseField
	}
	if line[0] == ' ' || line[0] == '\t' {
		if len(h.Fields) == 0 {
			return errResponseField
		}
		last := &h.Fields[len(h.Fields)-1]
		last.Value = trimOWS(last.Value + " " + trimOWS(line))
		return nil
	}
	name, value, found := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	if !found || !consistsOf(name, tokenByte) {
		return errResponseField
	}
	h.Fields = append(h.Fields, Field{name, trimOWS(value)})
	return nil
}

// parseFraming finds out where the response ends: RFC 9112 section 6.3.
func (h *responseHead) parseFraming() error {
	length := "" // the value of Content-Length
	for _, field := range h.Fields {
		switch name := field.Name; {
		case EqualFold(name, "Content-Length"):
			n, ok := parseDecimal(field.Value)
			if !ok || length != "" && field.Value != length { // identical ones are accepted: RFC 9110 section 8.6
				return errResponseLength
			}
			length, h.ContentLength = field.Value, n
		case EqualFold(name, "Transfer-Encoding"):
			if h.chunked || h.minorVersion == 0 || !EqualFold(field.Value, "chunked") {
				return errResponseCoding
			}
			h.chunked = true
		}
	}
	h.close = h.Fields.endsConnection(h.minorVersion) || h.chunked && length != "" // with both, it may be an attempt to split responses
	if h.chunked {
		h.ContentLength = -1
	}
	return nil
}
