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
	var details bytes.Buffer
	encoder := json.NewEncoder(&details)
	encoder.SetEscapeHTML(false) // people read it as JSON, not inside a page
	detail := strings.ToUpper(p.Detail[:1]) + p.Detail[1:] + ". " + p.Hint
	err := encoder.Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"urn:etrusted-broker:problem:" + p.Code, p.Title, p.Status, detail})
	if err != nil {
		panic(err) // impossible for strings and a number
	}
	return fields, details.Bytes()
}

// ProxyStatus returns a Proxy-Status field (RFC 9209 section 2) for a response of the broker. errorType is empty if the
// response is no error.
func ProxyStatus(errorType, details string) string {
	status := ProxyName
	if errorType != "" {
		status += "; error=" + errorType
	}
	return status + "; details=" + structuredString(details)
}

// structuredString returns text as a string of RFC 8941 section 3.3.3, which contains only printable ASCII.
func structuredString(text string) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return strconv.Quote(ascii) // which only has quotes and backslashes to escape
}
