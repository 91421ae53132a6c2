package linkrewrite_test

import (
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

func TestIsJSON(t *testing.T) {
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
		if got := linkrewrite.IsJSON(contentType); got != want {
			t.Errorf("%q: %v, want %v", contentType, got, want)
		}
	}
}

func TestNegotiatesGzipOrIdentity(t *testing.T) {
	const refused = "" // the app accepts no rewritten response
	for accepted, want := range map[string]string{
		"": "identity", "gzip": "gzip", "gzip, deflate, br, zstd": "gzip", "br;q=1.0, GZIP;q=0.5": "gzip", "*": "gzip", "x-gzip": "gzip",
		"gzip;q=0, *": "identity", "*, gzip;q=0": "identity", "br": "identity", "identity": "identity", "deflate, br": "identity",
		"gzip;q=0": "identity", "gzip; Q=0.00": "identity", "gzip;q=0.1": "gzip", "gzip; q=0.01": "gzip", "notgzip": "identity",
		"gzip, identity, *;q=0": "gzip", "gzip, identity;q=0.5": "gzip",
		"gzip, identity;q=0": refused, "br, gzip, *;q=0": refused, "gzip; q=0.000, *;q=0": refused,
	} {
		if got := linkrewrite.UpstreamAcceptEncoding(accepted); got != want {
			t.Errorf("%q: got %q, want %q", accepted, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { linkrewrite.UpstreamAcceptEncoding("gzip, deflate, br;q=0.5, *;q=0.1") }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
