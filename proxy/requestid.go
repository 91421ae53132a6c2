package proxy

import (
	"net/http"
	"strings"
)

// requestIDHeader is where apps, gateways and APIs by custom look for the name of a request. There is no RFC for it.
const requestIDHeader = "X-Request-Id"

// maxRequestID bounds what of an app's own name for a request is told in reports. It is sent on as it came.
const maxRequestID = 128

// requestID returns by which name a request is told of: the app's, or one that is made for it and that it then bears on its
// way to the API. Without Config.RequestID a request that has none stays so.
func (p *Proxy) requestID(r *http.Request) string {
	if id := r.Header.Get(requestIDHeader); id != "" {
		return id[:min(len(id), maxRequestID)]
	}
	if p.config.RequestID == nil {
		return ""
	}
	id := p.config.RequestID()
	r.Header[requestIDHeader] = []string{id}
	return id
}

// traceID returns the trace to which a request says that it belongs, 32 lower-case hexadecimal digits; empty if it belongs
// to none, or says so in a way that is not that of https://www.w3.org/TR/trace-context/#traceparent-header.
func traceID(header http.Header) string {
	values := header["Traceparent"]
	if len(values) != 1 {
		return ""
	}
	const length = len("vv-tttttttttttttttttttttttttttttttt-pppppppppppppppp-ff")
	value := values[0]
	if len(value) < length || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return ""
	}
	version, trace, parent, flags := value[:2], value[3:35], value[36:52], value[53:55]
	for _, digits := range [...]string{version, trace, parent, flags} {
		if strings.Trim(digits, "0123456789abcdef") != "" {
			return ""
		}
	}
	// Later versions may say more at the end; 00 may not, and ff is none.
	if version == "ff" || len(value) > length && (version == "00" || value[length] != '-') {
		return ""
	}
	if allZero(trace) || allZero(parent) {
		return ""
	}
	return strings.Clone(trace) // an exemplar may keep it for long, and need not keep the whole header
}

func allZero(digits string) bool { return strings.Trim(digits, "0") == "" }
