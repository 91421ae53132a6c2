package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// ReadOnly stands for the patterns "GET /" and "HEAD /". It goes together with any other.
const ReadOnly = "READ-ONLY"

// Rules are the methods and paths that may be used. The zero value allows nothing. All methods may be called from any goroutine.
type Rules struct {
	readOnly bool
	mux      http.ServeMux // all patterns
	trees    http.ServeMux // those of them that match all below a path
}

// allowed is the handler of what a pattern matches. The mux has handlers of its own for what it would redirect, and
// those allow nothing.
type allowed struct{}

func (allowed) ServeHTTP(http.ResponseWriter, *http.Request) {}

// ParseRules returns Rules that allow what one of the patterns matches. They are in the syntax of http.ServeMux, without
// a host, or ReadOnly. An error names the pattern that is at fault by its text, unless that could be a secret that was
// put into the wrong place.
func ParseRules(patterns []string) (*Rules, error) {
	rules := new(Rules)
	var all []string
	for i, pattern := range patterns {
		pattern = strings.TrimSpace(pattern)
		if pattern == ReadOnly {
			rules.readOnly = true
			continue
		}
		if err := new(Rules).add(pattern); err != nil {
			return nil, fmt.Errorf("the pattern %s %w", nameOf(pattern, i, len(patterns)), err)
		}
		all = append(all, pattern)
	}
	for i, pattern := range all {
		if rules.add(pattern) == nil {
			continue
		}
		for _, before := range all[:i] {
			if two := new(Rules); two.add(before) == nil && two.add(pattern) != nil {
				return nil, fmt.Errorf("the patterns %q and %q conflict: both match the same requests, and neither is the more specific", before, pattern)
			}
		}
		return nil, fmt.Errorf("the pattern %q conflicts with another", pattern)
	}
	return rules, nil
}

// add lets a pattern in. The mux tells of what it cannot take by a panic, with the line of code that is to blame for it.
func (r *Rules) add(pattern string) (err error) {
	path := pattern
	if end := strings.IndexAny(pattern, " \t"); end >= 0 {
		path = strings.TrimLeft(pattern[end:], " \t")
	}
	if !strings.HasPrefix(path, "/") { // a host: to the mux it is one, but here it is a slash that is missing
		return errors.New("has no path that begins with a slash: write METHOD /path, such as GET /reviews/, or " + ReadOnly)
	}
	defer func() {
		if recover() != nil {
			err = errors.New("cannot be parsed: it must be as Go's http.ServeMux has them, such as GET /reviews/{id}")
		}
	}()
	r.mux.Handle(pattern, allowed{})
	if strings.HasSuffix(pattern, "/") || strings.HasSuffix(pattern, "...}") {
		r.trees.Handle(pattern, allowed{})
	}
	return nil
}

// nameOf is how an error names the i-th of n patterns. What is not a method and a path may be a secret: one in base64 can
// begin with a slash, a passphrase has blanks, and a private key in PEM has both.
func nameOf(pattern string, i, n int) string {
	const longestMethod = len("OPTIONS")
	words := strings.Fields(pattern)
	if len(words) == 2 && len(words[0]) <= longestMethod && strings.ToUpper(words[0]) == words[0] && strings.Contains(words[1], "/") {
		return fmt.Sprintf("%q", pattern)
	}
	return fmt.Sprintf("%d of %d", i+1, n)
}

// Allowed reports whether a request with this method and target, as the app sent it, is allowed. It is the decoded path that
// counts, and whatever else a server on the way may take it for must be allowed too: see readings. A path that is not
// UTF-8 is not allowed, since some read an overlong slash (%c0%af) as a slash. ReadOnly is about the method only. The target
// must have passed CheckTarget.
func (r *Rules) Allowed(method, target string) bool {
	if r.readOnly && (method == http.MethodGet || method == http.MethodHead) {
		return true
	}
	// A number sign is no part of a target (RFC 9112 section 3.2), and some servers would cut the path there.
	if strings.Contains(target, "#") {
		return false
	}
	path, _, _ := strings.Cut(target, "?")
	if !strings.ContainsAny(path, "%"+cutMarks) { // most paths, which have one reading
		return r.matches(method, path)
	}
	all, ok := readings(path)
	return ok && !slices.ContainsFunc(all, func(reading string) bool { return !r.matches(method, reading) })
}

// matches reports whether a pattern matches a path. Some servers merge slashes, all or some, and some do not: where there
// are several in a row, all below the first of them must be allowed, and then it does not matter.
func (r *Rules) matches(method, path string) bool {
	if !utf8.ValidString(path) {
		return false
	}
	mux := &r.mux
	if before, _, doubled := strings.Cut(path, "//"); doubled {
		mux, path = &r.trees, before+"/"
	}
	handler, _ := mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
	_, ok := handler.(allowed)
	return ok
}

var ruleRefused = &Refusal{
	Reason: ReasonRule,
	Status: http.StatusForbidden,
	What:   "BROKER_ALLOW does not allow this method and path",
	Advice: "If the app is to use it, add a pattern for it to BROKER_ALLOW: GET /reviews is that path alone, GET /reviews/ is all below it.",
}

func overrides(header http.Header) bool {
	for name := range header {
		if IsOverride(name) {
			return true
		}
	}
	return false
}

// IsOverride reports whether a field of that name asks for another method or path than the request line: some servers, and
// some frameworks behind them, follow it. Where fields are passed on as CGI does, an underscore is a hyphen.
func IsOverride(name string) bool {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
	case "x-http-method-override", "x-http-method", "x-method-override", "x-original-method",
		"x-original-url", "x-rewrite-url", "x-override-url", "x-http-path-override":
		return true
	default:
		return false
	}
}

var overrideRefused = &Refusal{
	Reason: ReasonRule,
	Status: http.StatusForbidden,
	What:   "a header asks for another method or path than the one that BROKER_ALLOW allows",
	Advice: "Send the method and path that you mean in the request line, without X-HTTP-Method-Override, X-Original-URL and their like.",
}
