package access_test

import (
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/proxy/access"
)

func TestAllowsByMethodAndDecodedPath(t *testing.T) {
	for _, test := range []struct {
		patterns string
		allowed  []string
		refused  []string
	}{
		{"READ-ONLY",
			[]string{"GET /", "HEAD /", "GET /reviews?x=y", "HEAD /a/b", "GET //a//b/", "GET /a%2fb", "GET /a/"},
			[]string{"POST /", "PUT /a", "DELETE /a/b", "OPTIONS /", "OPTIONS *", "PATCH /", "get /", "PROPFIND /"}},
		{"GET /reviews/,POST /invites",
			[]string{"GET /reviews/", "GET /reviews/rev-1", "GET /reviews/rev-1/x?y", "HEAD /reviews/rev-1", "POST /invites", "POST /invites?x", "GET /reviews//x", "GET /reviews///", "GET /reviews/%2f", "GET /%72eviews/x", "GET /reviews/a%25b", "GET /reviews/a%25252fb", "GET /reviews/a%252525b", "GET /reviews/a%3fb", "GET /reviews/a;b?c"},
			[]string{"GET /reviews", "GET /", "GET /reviewsx", "POST /reviews/x", "GET /invites", "POST /invites/", "POST /invites/x", "POST /invites#/x", "GET /reviews/#", "GET /REVIEWS/x", "DELETE /invites", "GET /%2572eviews/x", "GET //reviews//x", "GET /%2freviews/x", "GET ///reviews/", "GET /reviews%2frev-1", "GET /reviews%3f/x", "GET /reviews%23/x", "GET /reviews;/x", "GET //", "POST //invites", "POST /invites%3f", "POST /invites;x"}},
		{"GET /channels/{id}/service-reviews/aggregate-rating, READ-ONLY , /events",
			[]string{"GET /channels/chl-1/service-reviews/aggregate-rating", "POST /events", "DELETE /events", "GET /x"},
			[]string{"POST /events/", "OPTIONS *", "POST /channels/chl-1/service-reviews/aggregate-rating"}},
		{"GET /reviews/{id}",
			[]string{"GET /reviews/rev-1", "GET /reviews/a%25b"},
			[]string{"GET /reviews/", "GET /reviews/a/b", "GET /reviews/a%2fb", "GET /reviews/a%2Fb", "GET /reviews/a%252fb", "GET /reviews/a%25252fb", "GET /reviews//a", "GET //reviews/a", "GET /reviews/a//",
				"GET /reviews/%2fa", "GET /reviews/%3fa", "GET /reviews/%23a", "GET /reviews/;a", "GET /reviews/...", "GET /reviews/%20", "GET /reviews/.%20.", "GET /reviews/%253fa",
				"GET /reviews/a%c0%afb", "GET /reviews/\xff", "GET /reviews/%ff", "GET /reviews/%25ff"}},
		{"DELETE /reviews/{id}/veto",
			[]string{"DELETE /reviews/1/veto", "DELETE /reviews/1/veto?x", "DELETE /reviews/a.b/veto", "DELETE /reviews/%c3%a4/veto"},
			[]string{"DELETE /reviews/1", "DELETE /reviews/1%3f/veto", "DELETE /reviews/1%23/veto", "DELETE /reviews/1;/veto", "DELETE /reviews/1%253f/veto", "DELETE /reviews/1%25253f/veto", "DELETE /reviews/1%2525253f/veto", "DELETE /reviews/1%2525252525253f/veto", "DELETE /reviews/1%25%33f/veto",
				"DELETE /reviews/1%2fveto", "DELETE /reviews/1%252fveto", "DELETE /reviews%2f1/veto", "DELETE /reviews//veto", "DELETE /reviews//1/veto", "DELETE /reviews/1//veto", "DELETE /reviews/1/;/veto", "DELETE /reviews/;/veto", "DELETE /reviews/1/veto/",
				"DELETE /reviews/1/veto.", "DELETE /reviews/1/veto;x"}},
		{"DELETE /reviews/{id},DELETE /reviews/{id}/veto", // what is read in two ways may be allowed in both
			[]string{"DELETE /reviews/1%3f/veto", "DELETE /reviews/1%2fveto", "DELETE /reviews/1;/veto"},
			[]string{"DELETE /reviews/%3f/veto", "DELETE /reviews/1%3f/x/veto", "DELETE /reviews//veto"}},
		{"GET /a/{rest...},GET /b/{x}/,GET /c/{$}",
			[]string{"GET /a//x", "GET /a/", "GET /a///", "GET /b/1//x", "GET /c/"},
			[]string{"GET /b//x", "GET /b//1/x", "GET /c//", "GET //a/"}},
		{"GET /", []string{"GET /", "GET //", "GET //a//b", "GET /%2f", "GET /a%3fb"}, []string{"GET /%ff", "GET *", "POST //"}},
		{"GET /{$}", []string{"GET /", "GET /?q"}, []string{"GET /a", "GET *", "GET //", "GET /%2f", "GET /;"}},
		{"GET\t/a", []string{"GET /a"}, []string{"GET /b"}},
	} {
		rules, err := access.ParseAllowList(strings.Split(test.patterns, ","))
		if err != nil {
			t.Errorf("%s: %v", test.patterns, err)
			continue
		}
		policy := &access.Policy{AllowList: rules}
		for want, requests := range map[bool][]string{true: test.allowed, false: test.refused} {
			for _, request := range requests {
				method, target, _ := strings.Cut(request, " ")
				denied := policy.Check(&access.Request{Method: method, Host: "localhost", Target: target, APITarget: target}).Denied
				if (denied == nil) != want {
					t.Errorf("%s: %s: got allowed %v, want %v", test.patterns, request, denied == nil, want)
				}
				if denied != nil && (denied.Status != 403 || denied.DenialReason != string(access.ReasonNotInAllowList)) {
					t.Errorf("%s: got %+v, want 403 for the reason rule", request, denied)
				}
			}
		}
	}
}

func TestRulesCannotBeOverridden(t *testing.T) {
	rules, err := access.ParseAllowList([]string{"READ-ONLY"})
	if err != nil {
		t.Fatal(err)
	}
	policy := &access.Policy{AllowList: rules}
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Original-Method", "X-Override-URL", "X-HTTP-Path-Override", "X_original_method", "X_HTTP_Method-Override", "X_Original_URL"} {
		denied := check(policy, parse(t, "GET / HTTP/1.1\r\nHost: localhost\r\n"+name+": DELETE"))
		if denied == nil || denied.DenialReason != string(access.ReasonNotInAllowList) {
			t.Errorf("%s: got %+v, want a denial for the reason rule", name, denied)
		}
	}
}

func TestAllowsEverythingWithoutAllowList(t *testing.T) {
	if denied := check(&access.Policy{}, parse(t, "DELETE /x#y HTTP/1.1\r\nHost: localhost\r\nX-Original-Url: /")); denied != nil {
		t.Errorf("got %+v, want no denial", denied)
	}
	if new(access.RequestAllowList).Allowed("GET", "/") {
		t.Error("rules without a pattern: got GET / allowed, want a denial")
	}
}

// The message names the pattern to add, unless the path is unusual: such a path may be text aimed at the reader.
func TestDenialNamesTheMissingPattern(t *testing.T) {
	rules, err := access.ParseAllowList([]string{"GET /channels"})
	if err != nil {
		t.Fatal(err)
	}
	policy := &access.Policy{AllowList: rules}
	for target, want := range map[string]string{
		"POST /events":                      `BROKER_ALLOW does not include POST /events|add "POST /events".`,
		"GET /reviews/rev-1?email=a@b.c":    `BROKER_ALLOW does not include GET /reviews/rev-1|add "GET /reviews/rev-1".`,
		"GET /%72eviews":                    `BROKER_ALLOW does not include this method and path|such as GET /reviews`,
		"GET /{id}":                         `BROKER_ALLOW does not include this method and path|such as GET /reviews`,
		"GET /" + strings.Repeat("a", 1000): `BROKER_ALLOW does not include this method and path|such as GET /reviews`,
		"get /channels":                     `BROKER_ALLOW does not include this method and path|such as GET /reviews`,
		"GET //channels":                    `BROKER_ALLOW does not include this method and path|such as GET /reviews`, // it would not help
	} {
		denied := check(policy, parse(t, target+" HTTP/1.1\r\nHost: localhost"))
		if denied == nil || denied.Code != "not-in-allow-list" {
			t.Errorf("%.40s: got %+v, want the code not-in-allow-list", target, denied)
			continue
		}
		detail, hint, _ := strings.Cut(want, "|")
		if denied.Detail != detail || !strings.Contains(denied.Hint, hint) {
			t.Errorf("%.40s: got %q and %q, want %q and %q", target, denied.Detail, denied.Hint, detail, hint)
		}
	}
}

func TestParseAllowListRefusesInvalidPatterns(t *testing.T) {
	for patterns, want := range map[string]string{
		"":                          `1 of 1 has no path`,
		"GET /a,":                   `2 of 2 has no path`,
		"read-only":                 `1 of 1 has no path`,
		"GET":                       `1 of 1 has no path`,
		"GET reviews/":              `"GET reviews/" has no path`,
		"GET api.example/":          `"GET api.example/" has no path`,
		"/ok,GET /{":                `"GET /{" cannot be parsed`,
		"GET /{a}{b}":               `"GET /{a}{b}" cannot be parsed`,
		"G@T /":                     `"G@T /" cannot be parsed`,
		"GET /a/../b":               `"GET /a/../b" cannot be parsed`,
		"GET /{x}/a,GET /b/{y}":     `"GET /{x}/a" and "GET /b/{y}" conflict`,
		"GET /a, POST /b,GET  /a":   `"GET /a" and "GET  /a" conflict`,
		"GET /,GET /":               `"GET /" and "GET /" conflict`,
		"/a,aCanaryThatMayBeSecret": `2 of 2 has no path`,
	} {
		_, err := access.ParseAllowList(strings.Split(patterns, ","))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", patterns, err, want)
		}
	}
}

func BenchmarkAllowList(b *testing.B) {
	rules, err := access.ParseAllowList([]string{"GET /reviews/", "GET /channels", "POST /invites"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !rules.Allowed("GET", "/reviews/rev-7e3f7c9c-cd76-4b5f-a9a3-8a1a4c7d8b11?x=y") {
			b.Fatal("got a denial, want none")
		}
	}
}

// A path with more interpretations than any program sends is denied, before it costs much time.
func TestDeniesPathsWithManyInterpretations(t *testing.T) {
	rules, err := access.ParseAllowList([]string{"GET /"})
	if err != nil {
		t.Fatal(err)
	}
	few, many := "/a%253b.", "/a.%25253fb%2fc.%252523c.%25253bd.%253fe.%2523%2ff.%253bg.%3fh.%23i.%3b."
	if !rules.Allowed(http.MethodGet, few) {
		t.Errorf("%s: got refused, want allowed", few)
	}
	if rules.Allowed(http.MethodGet, many) {
		t.Errorf("%s: got allowed, want refused", many)
	}
}
