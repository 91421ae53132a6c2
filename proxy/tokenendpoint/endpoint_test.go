package tokenendpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"etrusted-broker/proxy/tokenendpoint"
)

func TestMatchesBothTokenPaths(t *testing.T) {
	for _, test := range []struct {
		method, path string
		want         bool
	}{
		{"POST", "/oauth/token", true},
		{"POST", "/auth/realms/business/protocol/openid-connect/token", true},
		{"GET", "/oauth/token", false}, {"PUT", "/oauth/token", false}, {"post", "/oauth/token", false},
		{"POST", "/oauth/token/", false}, {"POST", "/OAuth/token", false}, {"POST", "/oauth%2ftoken", false}, {"POST", "//oauth/token", false},
		{"POST", "/auth/realms/other/protocol/openid-connect/token", false}, {"POST", "/", false}, {"POST", "", false},
	} {
		if got := tokenendpoint.IsTokenRequest(test.method, test.path); got != test.want {
			t.Errorf("%s %s: got %v, want %v", test.method, test.path, got, test.want)
		}
	}
}

const form = "application/x-www-form-urlencoded"

func TestAnswersTokenRequests(t *testing.T) {
	accounts := func(name string) bool { return name == "shop-de" }
	key := func(secret string) (string, bool) { return secret, secret == "s3cr&t+key:x" }
	for _, test := range []struct {
		name        string
		request     tokenendpoint.Request
		kind, body  string
		user        string // user:password of a Basic header
		account     string
		status      int
		token       string
		expires     float64
		error       string
		challenging bool
	}{
		{name: "dummy credentials", kind: form, body: "grant_type=client_credentials&client_id=x&client_secret=y&audience=z", status: 200, token: "placeholder", expires: 3600},
		{name: "none", kind: form + "; charset=UTF-8", body: "grant_type=client_credentials", status: 200, token: "placeholder", expires: 3600},
		{name: "kind in capitals", kind: "Application/X-WWW-Form-Urlencoded", body: "grant_type=client_credentials", status: 200, token: "placeholder", expires: 3600},
		{name: "an account", request: tokenendpoint.Request{AccountExists: accounts}, kind: form, body: "client_id=shop-de&grant_type=client_credentials", status: 200, token: "placeholder:shop-de", expires: 3600},
		{name: "no account", request: tokenendpoint.Request{AccountExists: accounts}, kind: form, body: "client_id=shop-at&grant_type=client_credentials", status: 200, token: "placeholder", expires: 3600},
		{name: "an account in the header", request: tokenendpoint.Request{AccountExists: accounts}, kind: form, body: "grant_type=client_credentials", user: "shop%2Dde:x", status: 200, token: "placeholder:shop-de", expires: 3600},
		{name: "the header goes first", request: tokenendpoint.Request{AccountExists: accounts}, kind: form, body: "grant_type=client_credentials&client_id=shop-de", user: "x:y", status: 200, token: "placeholder", expires: 3600},
		{name: "the path goes first", request: tokenendpoint.Request{AccountExists: accounts}, kind: form, body: "grant_type=client_credentials&client_id=shop-de", account: "shop-at", status: 200, token: "placeholder:shop-at", expires: 3600},

		{name: "another grant", kind: form, body: "grant_type=password&username=a&password=b", status: 400, error: "unsupported_grant_type"},
		{name: "no grant", kind: form, body: "client_id=x", status: 400, error: "invalid_request"},
		{name: "no body", kind: form, status: 400, error: "invalid_request"},
		{name: "JSON", kind: "application/json", body: `{"grant_type":"client_credentials"}`, status: 400, error: "invalid_request"},
		{name: "no kind", body: "grant_type=client_credentials", status: 400, error: "invalid_request"},
		{name: "broken form", kind: form, body: "grant_type=client_credentials&x=%zz", status: 400, error: "invalid_request"},
		{name: "endless form", kind: form, body: "grant_type=client_credentials&x=" + strings.Repeat("y", 64<<10), status: 400, error: "invalid_request"},

		{name: "the key", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=client_credentials&client_secret=s3cr%26t%2Bkey%3Ax", status: 200, token: "placeholder::s3cr&t+key:x", expires: 60},
		{name: "the key and an account", request: tokenendpoint.Request{AccountExists: accounts, CheckSecret: key}, kind: form, body: "grant_type=client_credentials&client_id=shop-de&client_secret=s3cr%26t%2Bkey%3Ax", status: 200, token: "placeholder:shop-de:s3cr&t+key:x", expires: 60},
		{name: "the key in the header", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=client_credentials", user: "x:s3cr%26t%2Bkey%3Ax", status: 200, token: "placeholder::s3cr&t+key:x", expires: 60},
		{name: "the key in the header as it is", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=client_credentials", user: "x:s3cr&t+key:x", status: 200, token: "placeholder::s3cr&t+key:x", expires: 60},
		{name: "a wrong key", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=client_credentials&client_secret=CANARY", status: 401, error: "invalid_client"},
		{name: "a wrong key in the header", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=client_credentials&client_secret=s3cr%26t%2Bkey%3Ax", user: "x:CANARY", status: 401, error: "invalid_client", challenging: true},
		{name: "another grant without the key", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=password", status: 401, error: "invalid_client"},
		{name: "no grant without the key", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "client_secret=CANARY", status: 401, error: "invalid_client"},
		{name: "JSON without the key", request: tokenendpoint.Request{CheckSecret: key}, kind: "application/json", body: `{"grant_type":"client_credentials"}`, status: 401, error: "invalid_client"},
		{name: "broken form without the key", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=client_credentials&x=%zz", user: "x:CANARY", status: 401, error: "invalid_client", challenging: true},
		{name: "another grant with the key", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=password&client_secret=s3cr%26t%2Bkey%3Ax", status: 400, error: "unsupported_grant_type"},
		{name: "JSON with the key in the header", request: tokenendpoint.Request{CheckSecret: key}, kind: "application/json", body: "{}", user: "x:s3cr&t+key:x", status: 400, error: "invalid_request"},
		{name: "no key", request: tokenendpoint.Request{CheckSecret: key}, kind: form, body: "grant_type=client_credentials", status: 401, error: "invalid_client"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.request
			r.Account, r.ContentType, r.Body = test.account, test.kind, strings.NewReader(test.body)
			if test.user != "" {
				r.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(test.user))
			}
			got := tokenendpoint.Handle(r)
			if got.Status != test.status || got.ErrorCode != test.error {
				t.Errorf("got %+v with body %s, want status %d, error %q", got, got.Body, test.status, test.error)
			}
			if (got.Challenge != "") != test.challenging {
				t.Errorf("got challenge %q, want one: %v", got.Challenge, test.challenging)
			}
			var members map[string]any
			if err := json.Unmarshal(got.Body, &members); err != nil {
				t.Fatal(err)
			}
			if test.status != 200 {
				if members["error"] != test.error || members["error_description"] == "" || strings.Contains(string(got.Body), "CANARY") {
					t.Errorf("got %s, want the error %s with a description", got.Body, test.error)
				}
				return
			}
			if members["access_token"] != test.token || members["token_type"] != "Bearer" || members["expires_in"] != test.expires || len(members) != 3 {
				t.Errorf("got %s, want the token %s for %v s", got.Body, test.token, test.expires)
			}
			token, ok := tokenendpoint.ParsePlaceholderToken(test.token)
			if !ok || token.String() != test.token {
				t.Errorf("Parse(%q): got %+v, %v, want the same token", test.token, token, ok)
			}
		})
	}
}

// The beginning of a form must not pass for the whole.
func TestRefusesFormThatBreaksOff(t *testing.T) {
	got := tokenendpoint.Handle(tokenendpoint.Request{
		ContentType: form, Body: io.MultiReader(strings.NewReader("grant_type=client_credentials"), iotest.ErrReader(errors.New("gone"))),
	})
	if got.Status != 400 || got.ErrorCode != "invalid_request" {
		t.Errorf("got %+v with body %s, want status 400 and invalid_request", got, got.Body)
	}
}

func TestParsesOnlyPlaceholderTokens(t *testing.T) {
	for text, want := range map[string]tokenendpoint.PlaceholderToken{
		"placeholder": {}, "placeholder:": {}, "placeholder:shop-de": {Account: "shop-de"}, "placeholder::key": {Key: "key"},
		"placeholder:shop-de:a:b": {Account: "shop-de", Key: "a:b"}, "placeholder:shop-de:": {Account: "shop-de"},
	} {
		if got, ok := tokenendpoint.ParsePlaceholderToken(text); !ok || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "placeholde", "placeholderx", "Placeholder", " placeholder", "eyJ.a.b", "GET"} {
		if got, ok := tokenendpoint.ParsePlaceholderToken(text); ok {
			t.Errorf("%q: got %+v, want no token", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"placeholder", "placeholder:a:b:c", "placeholder::", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := tokenendpoint.ParsePlaceholderToken(text)
		if !ok {
			return
		}
		if again, ok := tokenendpoint.ParsePlaceholderToken(token.String()); !ok || again != token {
			t.Errorf("%q: got %+v, and from its String %+v, want the same", text, token, again)
		}
	})
}
