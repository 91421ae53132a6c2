package proxy

import (
	"strings"

	"etrusted-broker/proxy/http1"
)

// requestIDHeader is the customary field for the ID of a request. There is no RFC for it.
const requestIDHeader = "X-Request-Id"

// maxRequestID bounds an app's own ID in records. It is forwarded unchanged.
const maxRequestID = 128

// requestID returns the ID of a request for its record. If the request has none, and Config.RequestID is set, it gets one,
// which is also sent to the API.
func (p *Proxy) requestID(fields http1.Fields) (recorded, generated string) {
	if id := fields.Get(requestIDHeader); id != "" {
		return id[:min(len(id), maxRequestID)], ""
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
	if lines != 1 || len(value) < length || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return ""
	}
	version, trace, parent, flags := value[:2], value[3:35], value[36:52], value[53:55]
	for _, digits := range [...]string{version, trace, parent, flags} {
		if strings.Trim(digits, "0123456789abcdef") != "" {
			return ""
		}
	}
	// Later versions may append more; 00 may not, and ff is invalid.
	if version == "ff" || len(value) > length && (version == "00" || value[length] != '-') {
		return ""
	}
	if allZero(trace) || allZero(parent) {
		return ""
	}
	return strings.Clone(trace) // an exemplar may keep it for long, and should not keep the whole header
}

func allZero(digits string) bool { return strings.Trim(digits, "0") == "" }
