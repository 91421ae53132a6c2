package problem

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// ProxyName is the broker's name in Proxy-Status and Via.
const ProxyName = "etrusted-broker"

// Response returns the fields and the body of the response: problem details (RFC 9457), and a Proxy-Status field (RFC 9209),
// which distinguishes it from a response of the API. The fields say nothing about the body's length or the connection.
func (p *Problem) Response() (fields []Field, body []byte) {
	fields = append([]Field{
		{"Content-Type", "application/problem+json"},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"Proxy-Status", ProxyStatus(p.ProxyError, p.Detail)},
	}, p.Fields...)
	if p.RetryAfter > 0 {
		fields = append(fields, Field{"Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds())))})
	}
	return fields, p.json()
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
