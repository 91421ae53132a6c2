package problem

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// ProxyName is the broker's name in Proxy-Status and Via.
const ProxyName = "etrusted-broker"

// Respond sends the problem as problem details (RFC 9457) with a Proxy-Status field (RFC 9209), which distinguishes it
// from a response of the API. It returns what writing the body returned.
func (p *Problem) Respond(w http.ResponseWriter) (int, error) {
	body := p.json()
	header := w.Header()
	for name, values := range p.Header {
		header[name] = values
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Proxy-Status", ProxyStatus(p.ProxyError, p.Detail))
	if p.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	w.WriteHeader(p.Status)
	return w.Write(body)
}

// json returns the problem details of RFC 9457 section 3.
func (p *Problem) json() []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // people read it as JSON, not inside a page
	err := encoder.Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"urn:etrusted-broker:problem:" + p.Code, p.Title, p.Status, sentence(p.Detail) + " " + p.Hint})
	if err != nil {
		panic(err) // impossible for strings and a number
	}
	return body.Bytes()
}

// sentence makes a sentence of the text of an error, which is not empty.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// ProxyStatus returns a Proxy-Status field (RFC 9209 section 2) for a response of the broker. errorType is empty if the
// response is no error.
func ProxyStatus(errorType, details string) string {
	if errorType == "" {
		return ProxyName + "; details=" + structuredString(details)
	}
	return ProxyName + "; error=" + errorType + "; details=" + structuredString(details)
}

// structuredString returns text as a string of RFC 8941 section 3.3.3, which contains only printable ASCII.
func structuredString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r > 0x7e:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
