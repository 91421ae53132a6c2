package check

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestReadClaims(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, token string
		want        claims
		ok          bool
	}{
		{"all claims", jwt(`{"iat":1000,"exp":1300,"azp":"me","aud":["a","b"],"scope":" x  y ","realm_access":{"roles":["r"]},"resource_access":{"z":{"roles":["s"]},"b":{"roles":["t","u"]}}}`),
			claims{300 * time.Second, "me", []string{"a", "b"}, []string{"x", "y"}, []string{"r", "t", "u", "s"}}, true},
		{"one audience", jwt(`{"aud":"a"}`), claims{audience: []string{"a"}, scopes: []string{}}, true},
		{"one invalid claim does not affect others", jwt(`{"aud":{},"azp":[],"scope":"x","exp":"soon","resource_access":{"a":1,"b":{"roles":7},"c":{"roles":["r"]}}}`),
			claims{scopes: []string{"x"}, roles: []string{"r"}}, true},
		{"expires before it is issued", jwt(`{"iat":1000,"exp":900}`), claims{scopes: []string{}}, true},
		{"without iat", jwt(`{"exp":900}`), claims{scopes: []string{}}, true},
		{"never expires", jwt(`{"iat":1,"exp":1e308}`), claims{lifetime: 24 * time.Hour, scopes: []string{}}, true},
		{"null", jwt(`null`), claims{}, false},
		{"a list", jwt(`[]`), claims{}, false},
		{"opaque", "abc", claims{}, false},
		{"two parts", "e30.e30", claims{}, false},
		{"invalid base64", "e30.!.x", claims{}, false},
	} {
		if got, ok := readClaims(test.token); ok != test.ok || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v, want %+v", test.name, got, ok, test.want)
		}
	}
}

func FuzzReadClaims(f *testing.F) {
	for _, payload := range []string{
		`{"iat":1000,"exp":1300,"azp":"me","aud":["a","b"],"scope":" x  y ","realm_access":{"roles":["r"]},"resource_access":{"z":{"roles":["s"]}}}`,
		`{"aud":"\u001b[31m\n✓"}`, `null`, `{"iat":1e308,"exp":-1e308}`, `{"aud":[1]}`, `{"resource_access":{"a":null}}`, `{"scope":"CANARY-secret CANARY"}`, "",
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		const secret = "CANARY-secret"
		r := &redactor{}
		r.addSecret(secret)
		got, ok := readClaims("e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln")
		if !ok && !reflect.DeepEqual(got, claims{}) {
			t.Errorf("got claims %+v from what is not a JWT", got)
		}
		if got.lifetime < 0 || got.lifetime > 24*time.Hour {
			t.Errorf("got lifetime %v, want 0 to 24h", got.lifetime)
		}
		for _, words := range [][]string{got.audience, got.scopes, got.roles} {
			mustBeClean(t, strings.Join(r.sanitizeNames(words), ", "))
		}
		mustBeClean(t, strings.Join(r.sanitizeNames([]string{string(payload)}), ", "))
	})
}

// mustBeClean fails if a text from a peer is not fit for a terminal or a ticket.
func mustBeClean(t *testing.T, text string) {
	t.Helper()
	if len(text) > (maxListItems+1)*(maxPeerNameLength+10) || !utf8.ValidString(text) || strings.Contains(lowerAlphanumeric(text), "canarysecret") {
		t.Errorf("%q", text)
	}
	for _, r := range text {
		if r < ' ' || r > '~' || strings.ContainsRune("\"'`<>&;$\\", r) {
			t.Errorf("%q in %q", r, text)
		}
	}
}

func TestRedactor(t *testing.T) {
	t.Parallel()
	r := &redactor{}
	r.addSecret("")
	r.addSecret("S3cret!/ä")
	for _, text := range []string{
		"S3cret!/ä", "s3CRET", "x S-3-c-r-e-t x", "533363726574212fc3a4", base64.StdEncoding.EncodeToString([]byte("S3cret!/ä")), "S3cret%21%2F%C3%A4",
	} {
		if got := r.sanitizeNames([]string{"a", text}); !reflect.DeepEqual(got, []string{withheld}) {
			t.Errorf("%s: got %s, want %s", text, got, withheld)
		}
	}
	if got := r.sanitizeNames([]string{"S3c", "ret"}); !reflect.DeepEqual(got, []string{withheld}) {
		t.Errorf("a secret in two pieces: got %s, want %s", got, withheld)
	}
	for text, want := range map[string]string{
		"Corporate Proxy CA":     "Corporate-Proxy-CA",
		"*.example.com":          "*.example.com",
		"a\x1b[31m\nb":           "a-31m-b",
		"--- ---":                "(no name)",
		"":                       "(no name)",
		strings.Repeat("x", 200): strings.Repeat("x", maxPeerNameLength) + "...",
		"https://a:b@c_d e":      "https://a:b@c_d-e",
	} {
		if got := r.sanitizeNames([]string{text}); !reflect.DeepEqual(got, []string{want}) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// A token that contains itself, or another account's token, is not shown.
func TestWithholdsTokens(t *testing.T) {
	t.Parallel()
	c := &checker{Config: eTrusted(t, fakeetrusted.New(fakeetrusted.Options{})), probes: map[string]*serverProbe{}}
	c.login = c.probeFor(c.Login)
	c.describeToken(AccountToTest{}, tokensource.CredentialsAndEnvironment{}, "CANARYtoken", &AccountReport{})
	if got := c.redact.sanitizeNames([]string{"x-canary-TOKEN"})[0]; got != withheld {
		t.Errorf("got %q, want %q", got, withheld)
	}
}
