package soak

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// marker is part of each secret that the soak test makes up, so that all of them are found however many there are.
const marker = "CANARY-of-the-soak"

// maxSecrets limits how many secrets are searched for in other encodings too, the newest ones.
const maxSecrets = 32

// searcher searches the broker's output for secrets. Its methods may be called concurrently.
type searcher struct {
	mu      sync.Mutex
	forms   [][][]byte // by secret, oldest first
	bytes   map[string]int64
	found   int
	reports []string
}

func newSearcher() *searcher { return &searcher{bytes: map[string]int64{}} }

// add adds a secret.
func (s *searcher) add(secret string) {
	forms := [][]byte{
		[]byte(secret),
		[]byte(hex.EncodeToString([]byte(secret))),
		[]byte(base64.StdEncoding.EncodeToString([]byte(secret))),
		[]byte(url.QueryEscape(secret)),
		[]byte(strings.Trim(fmt.Sprintf("%q", secret), `"`)),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forms = append(s.forms, forms)
	if len(s.forms) > maxSecrets {
		s.forms = slices.Delete(s.forms, 0, 1)
	}
}

// addToken adds a token. Its signature is searched for on its own: a part of a token is a secret too.
func (s *searcher) addToken(token string) { s.add(token[strings.LastIndexByte(token, '.')+1:]) }

// search searches a text that the broker has sent or written. A secret must not span two texts.
func (s *searcher) search(output string, text []byte) {
	s.mu.Lock()
	forms := slices.Clone(s.forms)
	s.bytes[output] += int64(len(text))
	s.mu.Unlock()
	at := bytes.Index(text, []byte(marker))
	for _, secret := range forms {
		for _, form := range secret {
			if at < 0 {
				at = bytes.Index(text, form)
			}
		}
	}
	if at < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found++; s.found <= maxReported {
		s.reports = append(s.reports, fmt.Sprintf("%s: a secret after %q", output, text[max(0, at-100):at]))
	}
}

// snapshot returns the number of bytes searched by output, and what was found.
func (s *searcher) snapshot() (searched map[string]int64, found int, reports []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	searched = map[string]int64{}
	for output, count := range s.bytes {
		searched[output] = count
	}
	return searched, s.found, slices.Clone(s.reports)
}

// lines is an io.Writer that searches each line of a log.
type lines struct {
	searcher *searcher
	output   string
	partial  []byte
}

// Write never fails.
func (l *lines) Write(p []byte) (int, error) {
	l.partial = append(l.partial, p...)
	if end := bytes.LastIndexByte(l.partial, '\n'); end >= 0 {
		l.searcher.search(l.output, l.partial[:end])
		l.partial = bytes.Clone(l.partial[end+1:])
	}
	return len(p), nil
}
