package linkrewrite_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"

	"etrusted-broker/proxy/linkrewrite"
)

const (
	from = "https://api.etrusted.com"
	to   = "http://localhost:8080/@shop-de"
)

// rewriter replaces from by to.
var rewriter = linkrewrite.NewOrigin(from).To(to)

// linkPattern returns a regular expression for the links with an origin, in lower case. Its first group is the origin.
func linkPattern(origin string) *regexp.Regexp {
	ports := map[string]string{"https": "443", "http": "80"}
	scheme, host, _ := strings.Cut(origin, "://")
	host = regexp.QuoteMeta(strings.TrimSuffix(host, ":"+ports[scheme]))
	port := func(scheme string) string { return "(?::" + ports[scheme] + ")?" }
	if regexp.MustCompile(`:\d+$`).MatchString(host) {
		port = func(string) string { return "" }
	}
	return regexp.MustCompile("(?s)^(https://" + host + port("https") + "|http://" + host + port("http") + "|//" + host + port(scheme) + ")(?:[/?#]|$)")
}

// lowerASCII is strings.ToLower for ASCII only: the length stays the same.
func lowerASCII(text string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, text)
}

// reference is a simple implementation: it parses the whole body and checks each string value. ok is false if the body
// is not a sequence of JSON values.
func reference(body []byte, from, to string) (rewritten string, ok bool) {
	byteOrderMark := []byte("\xef\xbb\xbf")
	rest, marked := bytes.CutPrefix(body, byteOrderMark)
	var out strings.Builder
	if marked {
		out.Write(byteOrderMark)
	}
	stream := json.NewDecoder(bytes.NewReader(rest))
	for done := 0; ; {
		var value json.RawMessage
		err := stream.Decode(&value)
		if errors.Is(err, io.EOF) {
			out.Write(rest[done:])
			return out.String(), true
		}
		if err != nil {
			return "", false
		}
		end := int(stream.InputOffset())
		out.Write(rest[done : end-len(value)])
		out.WriteString(referenceValue(value, from, to))
		done = end
	}
}

// referenceValue rewrites one value.
func referenceValue(value []byte, from, to string) string {
	type level struct{ object, key bool } // key: the next string is a key
	var levels []level
	var out strings.Builder
	tokens := json.NewDecoder(bytes.NewReader(value))
	tokens.UseNumber() // 1e400 is JSON, but not a float64
	for done := 0; ; {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			return out.String() + string(value[done:])
		}
		if err != nil {
			panic(err) // it was decoded without error before
		}
		raw := string(value[done:tokens.InputOffset()])
		done += len(raw)
		var here *level
		if len(levels) > 0 {
			here = &levels[len(levels)-1]
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{', '[':
				if here != nil {
					here.key = here.object
				}
				levels = append(levels, level{object: token == '{', key: token == '{'})
			default:
				levels = levels[:len(levels)-1]
			}
		case string:
			if here != nil && here.key {
				here.key = false
				break
			}
			if here != nil {
				here.key = here.object
			}
			quote := strings.IndexByte(raw, '"')
			raw = raw[:quote+1] + referenceString(raw[quote+1:], token, from, to)
		default:
			if here != nil {
				here.key = here.object
			}
		}
		out.WriteString(raw)
	}
}

// referenceString rewrites the raw text after a string's opening quote.
func referenceString(raw, value, from, to string) string {
	link := linkPattern(from).FindStringSubmatch(lowerASCII(value))
	if link == nil {
		return raw
	}
	for n := range raw {
		var start string
		if json.Unmarshal([]byte(`"`+raw[:n]+`"`), &start) == nil && start == value[:len(link[1])] {
			if strings.Contains(raw[:n], `\/`) {
				to = strings.ReplaceAll(to, "/", `\/`)
			}
			return to + raw[n:]
		}
	}
	panic("no prefix of " + raw + " is the origin")
}
