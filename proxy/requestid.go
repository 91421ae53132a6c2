package proxy

import (
	"strings"

	"etrusted-broker/proxy/http1"
)

// requestIDHeader is the customary field for the ID of a request. There is no RFC for it.
const requestIDHeader = "X-Request-Id"

// requestID returns the ID of a request for its record, at most 128 bytes; the app's own is forwarded unchanged. If the request
// has none, and Config.RequestID is set, it gets one, which is also sent to the API.
func (p *Proxy) requestID(fields http1.Fields) (recorded, generated string) {
	if id := fields.Get(requestIDHeader); id != "" {
		return id[:min(len(id), 128)], ""
	}
	if p.config.RequestID == nil {
		return "", ""
	}
	id := p.config.RequestID()
	return id, id
}

// traceID returns the trace ID of a traceparent field, 32 lower-case hexadecimal digits; empty if the field is missing or
// invalid: see https://www.w3.org/TR/trace-context/#traceparent-header.
func traceID(fields http1.Fields) string {
	value, lines := "", 0
	for line := range fields.Lines("Traceparent") {
		value = line
		lines++
	}
	const length = len("vv-tttttttttttttttttttttttttttttttt-pppppppppppppppp-ff")
	const zeros = "00000000000000000000000000000000"
	if lines != 1 || len(value) < length || value[2] != '-' || value[35] != '-' || value[52] != '-' ||
		strings.Count(value[:length], "-") != 3 || strings.Trim(value[:length], "0123456789abcdef-") != "" {
		return ""
	}
	// Later versions may append more; 00 may not, and ff is invalid.
	if value[:2] == "ff" || len(value) > length && (value[:2] == "00" || value[length] != '-') {
		return ""
	}
	if value[3:35] == zeros || value[36:52] == zeros[:16] {
		return ""
	}
	return strings.Clone(value[3:35]) // an exemplar may keep it for long, and should not keep the whole header
}
