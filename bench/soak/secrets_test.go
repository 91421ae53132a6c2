package soak

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestSearcherFindsSecretsInEveryForm(t *testing.T) {
	const secret, token = "made up & secret", "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"nothing", "GET /channels 200", 0},
		{"plain", "secret=" + secret, 1},
		{"hexadecimal", fmt.Sprintf("%x", secret), 1},
		{"base64", base64.StdEncoding.EncodeToString([]byte(secret)), 1},
		{"escaped for a URL", "made+up+%26+secret", 1},
		{"a token", "Bearer " + token, 1},
		{"the signature of a token", "c2lnbmF0dXJl", 1},
		{"the beginning of all tokens", "eyJhbGciOiJSUzI1NiJ9", 0},
		{"an older secret", "secret=" + marker + "-XYZ", 1},
	} {
		s := newSearcher()
		s.add(secret)
		s.addToken(token)
		s.search("log", []byte(c.text))
		if _, found, reports := s.snapshot(); found != c.want || len(reports) != c.want {
			t.Errorf("%s: found %d, reports %q; want %d", c.name, found, reports, c.want)
		}
	}
}

func TestReportsDoNotRepeatTheSecret(t *testing.T) {
	s := newSearcher()
	s.add("made-up-secret")
	s.search("log", []byte("before made-up-secret after"))
	if _, _, reports := s.snapshot(); len(reports) != 1 || strings.Contains(reports[0], "made-up-secret") {
		t.Errorf("got the reports %q, want one without the secret", reports)
	}
}

func TestLinesFindsSecretsAcrossWrites(t *testing.T) {
	s := newSearcher()
	s.add("made-up-secret")
	log := &lines{searcher: s, output: "log"}
	for _, part := range []string{"a line\nsecret=made-", "up-sec", "ret\nnext", " line\n"} {
		_, _ = log.Write([]byte(part))
	}
	searched, found, _ := s.snapshot()
	if found != 1 || searched["log"] == 0 {
		t.Errorf("found %d in %d bytes, want 1", found, searched["log"])
	}
}
