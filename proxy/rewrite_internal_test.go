package proxy

import "testing"

func TestIsJSON(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"application/json":                      true,
		"application/json;charset=utf-8":        true,
		"application/json ;charset=utf-8":       true,
		"application/json\t; charset=utf-8":     true,
		"application/json;charset":              true,
		"application/json;":                     true,
		"application/json; a=\"x, y/z\"":        true,
		" application/json ":                    true,
		"APPLICATION/JSON":                      true,
		"application/hal+json":                  true,
		"Application/Problem+JSON; a=b":         true,
		"application/vnd.etrusted.v1+json":      true,
		"":                                      false,
		";":                                     false,
		"text/plain":                            false,
		"text/plain; a=application/json":        false,
		"application/jsonp":                     false,
		"application/json5":                     false,
		"application/json+xml":                  false,
		"text/html, application/x+json":         false,
		"text/html,application/x+json":          false,
		"application/json, application/json":    false,
		"foo bar+json":                          false,
		"foo\tbar+json":                         false,
		"application/x +json":                   false,
		"application/\x00+json":                 false,
		"application/\x1f+json; charset=utf-8":  false,
		"application/\x7f+json":                 false,
		"application/json\x00":                  false,
		"application/json\x00; charset=utf-8":   false,
		"application/\r\nx-injected:\r\nx+json": false,
	} {
		if got := isJSON(contentType); got != want {
			t.Errorf("%q: %v, want %v", contentType, got, want)
		}
	}
}
