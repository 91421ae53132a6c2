package http1

import (
	"net/http"
	"strings"
)

// Limits of a response's header.
const (
	maxResponseHeader      = 256 << 10
	maxResponseFields      = 16 << 10
	maxResponseFoldedLines = 256 // each copies the value so far
)

// InvalidResponseError reports that an upstream's response is not valid HTTP. It contains nothing of the response.
type InvalidResponseError struct{ detail string }

// Error says what is wrong.
func (e *InvalidResponseError) Error() string { return e.detail }

var (
	errStatusLine      = &InvalidResponseError{"the status line is malformed"}
	errResponseField   = &InvalidResponseError{"a field of the header is malformed"}
	errResponseTooLong = &InvalidResponseError{"the header is too long"}
)

// responseHead is the header of a response: status line and field lines.
type responseHead struct {
	ClientResponse
	size         int // of the lines so far, in bytes
	folded       int // how many lines so far continue another
	minorVersion int // of HTTP/1: 0 or 1
	chunked      bool
	close        bool // the connection ends with this response
}

// parse takes what has arrived of a header from b, and reports whether it is complete. What cannot be a response is an error at once.
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
