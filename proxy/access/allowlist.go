package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/http1"
)

// ReadOnly stands for the patterns "GET /" and "HEAD /". It can be combined with others.
const ReadOnly = "READ-ONLY"

// RequestAllowList is an allow list of methods and paths. The zero value allows nothing, and nil everything. It is safe for concurrent
// use.
type RequestAllowList struct {
	readOnly bool
	mux      http.ServeMux // all patterns
	trees    http.ServeMux // the patterns that match everything below a path
}

// allowedHandler is the handler of every pattern. For requests that it would redirect, the mux returns its own handlers, which
// allow nothing.
type allowedHandler struct{}

func (allowedHandler) ServeHTTP(http.ResponseWriter, *http.Request) {}

// ParseAllowList returns a RequestAllowList that allows what at least one of the patterns matches. A pattern is ReadOnly or has the
// syntax of http.ServeMux, without a host. An error quotes the invalid pattern, unless that may be a misplaced secret.
func ParseAllowList(patterns []string) (*RequestAllowList, error) {
	list := new(RequestAllowList)
	var all []string
	for i, pattern := range patterns {
		pattern = strings.TrimSpace(pattern)
		if pattern == ReadOnly {
			list.readOnly = true
			continue
		}
		if err := new(RequestAllowList).add(pattern); err != nil {
			return nil, fmt.Errorf("the pattern %s %w", quoteUnlessSecret(pattern, i, len(patterns)), err)
		}
		all = append(all, pattern)
		if list.add(pattern) == nil {
			continue
		}
		conflicting := slices.IndexFunc(all, func(other string) bool { // if no other, then pattern itself
			both := new(RequestAllowList)
			return both.add(other) == nil && both.add(pattern) != nil
		})
		return nil, fmt.Errorf("the patterns %q and %q conflict: both match the same requests, and neither is more specific", all[conflicting], pattern)
	}
	return list, nil
}

// add adds a pattern. It fails if that is invalid or conflicts with another, for which the mux panics.
func (a *RequestAllowList) add(pattern string) (err error) {
	path := pattern
	if end := strings.IndexAny(pattern, " \t"); end >= 0 {
		path = strings.TrimLeft(pattern[end:], " \t")
	}
	if !strings.HasPrefix(path, "/") { // the mux would take it for a host, but here a slash is missing
		return errors.New("has no path that begins with a slash: write METHOD /path, such as GET /reviews/, or " + ReadOnly)
	}
	defer func() {
		if recover() != nil {
			err = errors.New("cannot be parsed: it must have the syntax of Go's http.ServeMux, such as GET /reviews/{id}")
		}
	}()
	a.mux.Handle(pattern, allowedHandler{})
	if strings.HasSuffix(pattern, "/") || strings.HasSuffix(pattern, "...}") {
		a.trees.Handle(pattern, allowedHandler{})
	}
	return nil
}

// quoteUnlessSecret returns how an error refers to the pattern at an index of count patterns. Anything but a method and a path may
// be a secret: base64 can begin with a slash, a passphrase contains spaces, and a private key in PEM both.
func quoteUnlessSecret(pattern string, index, count int) (quotedOrNumber string) {
	const longestMethod = len("OPTIONS")
	words := strings.Fields(pattern)
	if len(words) == 2 && len(words[0]) <= longestMethod && strings.ToUpper(words[0]) == words[0] && strings.Contains(words[1], "/") {
		return fmt.Sprintf("%q", pattern)
	}
	return fmt.Sprintf("%d of %d", index+1, count)
}

// check denies a request that the list does not allow; listName is the name of the list. nil allows everything.
func (a *RequestAllowList) check(request *Request, listName string) *problem.Problem {
	switch {
	case a == nil:
		return nil
	case !a.Allowed(request.Method, request.APITarget):
		return notInAllowList(request.Method, request.APITarget, listName)
	case slices.ContainsFunc(request.Fields, func(field http1.Field) bool { return IsMethodOrPathOverride(field.Name) }):
		return errMethodOrPathOverride
	default:
		return nil
	}
}

// Allowed reports whether a request with this method and target, as the client sent it, is allowed. The decoded path must be
// allowed, and so must everything else that a server may read in it: see interpretations. A path that is not UTF-8 is not allowed,
// since some servers read an overlong slash (%c0%af) as a slash. ReadOnly depends only on the method. The target must have
// no dot segments, backslashes or control characters.
func (a *RequestAllowList) Allowed(method, target string) bool {
	if a == nil || a.readOnly && (method == http.MethodGet || method == http.MethodHead) {
		return true
	}
	// A target contains no number sign (RFC 9112 section 3.2), and some servers would cut the path there.
	if strings.Contains(target, "#") {
		return false
	}
	path, _, _ := strings.Cut(target, "?")
	if !strings.ContainsAny(path, "%"+truncationMarks) { // most paths have one interpretation
		return a.matches(method, path)
	}
	all, ok := interpretations(path)
	return ok && !slices.ContainsFunc(all, func(one string) bool { return !a.matches(method, one) })
}

// matches reports whether a pattern matches a path. Some servers merge repeated slashes and some do not. So everything below
// the first repeated slash must be allowed; then it makes no difference.
func (a *RequestAllowList) matches(method, path string) bool {
	if !utf8.ValidString(path) {
		return false
	}
	mux := &a.mux
	if before, _, doubled := strings.Cut(path, "//"); doubled {
		mux, path = &a.trees, before+"/"
	}
	handler, _ := mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
	_, ok := handler.(allowedHandler)
	return ok
}

// notInAllowList returns the problem of a request that an allow list does not allow. It names the missing pattern, unless the
// path is unusual: it may not be valid in a pattern, or be text aimed at the person who reads the message.
func notInAllowList(method, target, listName string) *problem.Problem {
	pattern := "a pattern for it, such as GET /reviews or, with everything below it, GET /reviews/"
	what := "this method and path"
	if path, _, _ := strings.Cut(target, "?"); isUsableAsPattern(method, path) {
		what = method + " " + path
		pattern = `"` + what + `"`
	}
	return newDenial(ReasonNotInAllowList, http.StatusForbidden, "not-in-allow-list", listName+" does not include "+what, "If the app needs it, add "+pattern+".")
}

// isUsableAsPattern reports whether a request can be suggested as a pattern: the method and path are short, and the path has
// neither encoded characters nor doubled slashes, for which a pattern would not help.
func isUsableAsPattern(method, path string) bool {
	const upper, lower, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789"
	return len(method) <= 16 && strings.Trim(method, upper) == "" && len(path) < 200 && strings.HasPrefix(path, "/") && !strings.Contains(path, "//") &&
		strings.Trim(path, upper+lower+digits+"/._~-") == ""
}

// IsMethodOrPathOverride reports whether a field with this name asks for another method or path than the request line: some
// servers, and some frameworks behind them, follow it. Where fields are passed on as CGI does, an underscore is a hyphen.
func IsMethodOrPathOverride(fieldName string) bool {
	switch strings.ToLower(strings.ReplaceAll(fieldName, "_", "-")) {
	case "x-http-method-override", "x-http-method", "x-method-override", "x-original-method",
		"x-original-url", "x-rewrite-url", "x-override-url", "x-http-path-override":
		return true
	default:
		return false
	}
}
