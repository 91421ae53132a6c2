package access_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// withKeys returns one caller with these keys, who may do everything.
func withKeys(keys *access.Keys) *access.Callers {
	return access.NewCallers(&access.Caller{Keys: keys})
}

func authorization(lines ...string) (fields http1.Fields) {
	for _, line := range lines {
		fields.Add("authorization", line)
	}
	return fields
}

func bearer(key string) http1.Fields { return authorization("Bearer " + key) }

func basic(userAndPassword string) http1.Fields {
	return authorization("Basic " + base64.StdEncoding.EncodeToString([]byte(userAndPassword)))
}

func TestRequiresAccessKey(t *testing.T) {
	policy := &access.Policy{Callers: withKeys(access.NewKeys("the:key ä"))}
	for _, test := range []struct {
		name   string
		fields http1.Fields
		valid  bool
	}{
		{"bearer", bearer("the:key ä"), true},
		{"scheme in another case", authorization("bEARER the:key ä"), true},
		{"blanks around", authorization("Bearer   the:key ä "), true},
		{"basic", basic("anyone:the:key ä"), true},
		{"basic without user", basic(":the:key ä"), true},

		{"nothing", nil, false},
		{"empty", authorization(""), false},
		{"no scheme", authorization("the:key ä"), false},
		{"bearer of nothing", bearer(""), false},
		{"beginning", bearer("the:key"), false},
		{"more", bearer("the:key äx"), false},
		{"another", bearer("the:key b"), false},
		{"another case", bearer("THE:KEY Ä"), false},
		{"tab", authorization("Bearer\tthe:key ä"), false},
		{"basic, as the user", basic("the:key ä:"), false},
		{"basic, another", basic("the:key ä:x"), false},
		{"basic, not base64", authorization("Basic the:key ä"), false},
		{"another scheme", authorization("Digest the:key ä"), false},
		{"proxy", http1.Fields{{Name: "Proxy-Authorization", Value: "Bearer the:key ä"}}, false},
		{"two", authorization("Bearer the:key ä", "Bearer the:key ä"), false},
		{"two, one right", authorization("Bearer x", "Bearer the:key ä"), false},
		{"list", authorization("Bearer x, Bearer the:key ä"), false},
	} {
		r := parse(t, "GET / HTTP/1.1\r\nHost: localhost")
		r.Fields = test.fields
		denied := check(policy, r)
		if (denied == nil) != test.valid {
			t.Errorf("%s: got %+v, want valid %v", test.name, denied, test.valid)
		}
		if denied != nil && (denied.Status != http.StatusUnauthorized || denied.DenialReason != string(access.ReasonKey) || len(denied.Fields) != 2) {
			t.Errorf("%s: got %+v, want 401 for the reason key with two WWW-Authenticate values", test.name, denied)
		}
	}
}

func TestOldKeyIsValidForAnotherMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := access.NewKeys("one")
		want := func(valid ...string) {
			t.Helper()
			for _, key := range []string{"one", "two", "three"} {
				expected := false
				for _, v := range valid {
					expected = expected || v == key
				}
				if got := withKeys(keys).WithKey(key) != nil; got != expected {
					t.Errorf("%s: got valid %v, want %v", key, got, expected)
				}
			}
		}
		change := func(key string, changed bool) {
			t.Helper()
			if got := keys.Replace(key); got != changed {
				t.Errorf("Replace(%q): got %v, want %v", key, got, changed)
			}
		}
		want("one")
		change("one", false)
		change("two", true)
		want("one", "two")
		time.Sleep(59 * time.Second)
		want("one", "two")
		change("two", false) // reading the same key again does not extend the minute
		time.Sleep(time.Second)
		want("two")

		change("three", true)
		time.Sleep(30 * time.Second)
		change("one", true) // both old keys have their minute
		want("one", "two", "three")
		time.Sleep(30 * time.Second)
		want("one", "three")
		change("three", true) // current again, so without an end
		time.Sleep(61 * time.Second)
		want("three")
	})
}

func TestSeveralKeysAreValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := access.NewKeys("one", "two")
		for _, step := range []struct {
			keys    []string
			changed bool
			valid   string // at once
			later   string // a minute later
		}{
			{[]string{"two", "one"}, false, "one two", "one two"},
			{[]string{"two", "three"}, true, "one two three", "two three"},
			{[]string{"three"}, true, "two three", "three"},
			{[]string{"one", "three", "one"}, true, "one three", "one three"},
		} {
			if got := keys.Replace(step.keys...); got != step.changed {
				t.Errorf("Replace(%q): got %v, want %v", step.keys, got, step.changed)
			}
			for _, want := range []string{step.valid, step.later} {
				var valid []string
				for _, key := range []string{"one", "two", "three"} {
					if withKeys(keys).WithKey(key) != nil {
						valid = append(valid, key)
					}
				}
				if got := strings.Join(valid, " "); got != want {
					t.Errorf("after Replace(%q): got valid keys %s, want %s", step.keys, got, want)
				}
				time.Sleep(time.Minute)
			}
		}
	})
}

func BenchmarkKeys(b *testing.B) {
	callers := withKeys(access.NewKeys("4f1c2a6e0d9b8c7a4f1c2a6e0d9b8c7a"))
	b.ReportAllocs()
	for b.Loop() {
		if callers.WithKey("4f1c2a6e0d9b8c7a4f1c2a6e0d9b8c7a") == nil {
			b.Fatal("not valid")
		}
	}
}
