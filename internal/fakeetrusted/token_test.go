package fakeetrusted

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		for _, path := range []string{tokenPath, legacyTokenPath} {
			resp := postForm(t, s, path, goodForm())
			if resp.header.Get("Cache-Control") != "no-store" {
				t.Error("a token must not be cached")
			}
			var got map[string]any
			decodeAnswer(t, resp, http.StatusOK, &got)
			token, _ := got["access_token"].(string)
			delete(got, "access_token")
			want := map[string]any{
				"expires_in": 300.0, "refresh_expires_in": 0.0, "token_type": "Bearer", "not-before-policy": 0.0, "scope": "email profile",
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v and the token", got, want)
			}
			header, payload := jwt(t, token)
			if header["alg"] != "RS256" {
				t.Errorf("got header %v, want RS256", header)
			}
			now := float64(time.Now().Unix())
			for name, want := range map[string]any{
				"iat": now, "exp": now + 300, "aud": "https://api.etrusted.com", "azp": DefaultClientID, "scope": "email profile",
			} {
				if payload[name] != want {
					t.Errorf("%s is %v, want %v", name, payload[name], want)
				}
			}
			if payload["jti"] == "" {
				t.Error("no jti")
			}
		}
	})
}

func jwt(t *testing.T, token string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got token %q, want three segments", token)
	}
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatalf("segment %d: %v", i, err)
		}
		switch i {
		case 0:
			err = json.Unmarshal(b, &header)
		case 1:
			err = json.Unmarshal(b, &payload)
		default:
			if len(b) != 256 {
				t.Errorf("got a signature of %d bytes, want 256", len(b))
			}
		}
		if err != nil {
			t.Fatalf("segment %d: %v", i, err)
		}
	}
	return header, payload
}

func TestTokenScopeIsRepeated(t *testing.T) {
	form := goodForm()
	form.Set("scope", "reviews:read")
	var got struct{ Scope string }
	decodeAnswer(t, postForm(t, New(Options{}), tokenPath, form), http.StatusOK, &got)
	if got.Scope != "reviews:read" {
		t.Errorf("got scope %q, want reviews:read", got.Scope)
	}
}

func TestTokenRefused(t *testing.T) {
	with := func(name string, values ...string) url.Values {
		f := goodForm()
		delete(f, name)
		if len(values) > 0 {
			f[name] = values
		}
		return f
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	basic := form.Clone()
	basic.Set("Authorization", "Basic eDp5")
	tests := []struct {
		name, method, target, body string
		header                     http.Header
		status                     int
		code                       string
	}{
		{"GET", "GET", tokenPath, "", nil, 405, "invalid_request"},
		{"GET on the legacy path", "GET", legacyTokenPath, "", nil, 405, "invalid_request"},
		{"PUT", "PUT", tokenPath, goodForm().Encode(), form, 405, "invalid_request"},
		{"Basic header", "POST", tokenPath, goodForm().Encode(), basic, 401, "invalid_client"},
		{"credentials in the query", "POST", tokenPath + "?" + goodForm().Encode(), "", form, 400, "unsupported_grant_type"},
		{"JSON", "POST", tokenPath, `{"client_id":"x"}`, http.Header{"Content-Type": {"application/json"}}, 400, "invalid_request"},
		{"no content type", "POST", tokenPath, goodForm().Encode(), nil, 400, "invalid_request"},
		{"broken form", "POST", tokenPath, goodForm().Encode() + "&x=%zz", form, 400, "invalid_request"},
		{"repeated parameter", "POST", tokenPath, with("client_id", DefaultClientID, DefaultClientID).Encode(), form, 400, "invalid_request"},
		{"other grant", "POST", tokenPath, with("grant_type", "password").Encode(), form, 400, "unsupported_grant_type"},
		{"no grant", "POST", tokenPath, with("grant_type").Encode(), form, 400, "unsupported_grant_type"},
		{"unknown id", "POST", tokenPath, with("client_id", "unknown").Encode(), form, 401, "invalid_client"},
		{"no id", "POST", tokenPath, with("client_id").Encode(), form, 401, "invalid_client"},
		{"wrong secret", "POST", tokenPath, with("client_secret", "wrong").Encode(), form, 401, "invalid_client"},
		{"no secret", "POST", tokenPath, with("client_secret").Encode(), form, 401, "invalid_client"},
		{"other audience", "POST", tokenPath, with("audience", "https://api.example.com").Encode(), form, 403, "access_denied"},
		{"no audience", "POST", tokenPath, with("audience").Encode(), form, 403, "access_denied"},
	}
	s := New(Options{})
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := do(t, s, test.method, test.target, test.body, test.header)
			var got struct {
				Error       string `json:"error"`
				Description string `json:"error_description"`
			}
			decodeAnswer(t, resp, test.status, &got)
			if got.Error != test.code {
				t.Errorf("error %q, want %q", got.Error, test.code)
			}
			if test.code == "invalid_client" && got.Description != "Invalid client or Invalid client credentials" {
				t.Errorf("description %q", got.Description)
			}
			if (test.status == 405) != (resp.header.Get("Allow") == "POST") {
				t.Errorf("Allow: %q", resp.header.Get("Allow"))
			}
			seen := s.TokenRequests()
			if len(seen) != i+1 || seen[i].Status != test.status || seen[i].RequestURI != test.target {
				t.Errorf("recorded: %+v", seen)
			}
		})
	}
	if len(s.Tokens()) != 0 {
		t.Error("a refused request was given a token")
	}
}

func TestTokenBodyIsBounded(t *testing.T) {
	form := goodForm()
	form.Set("scope", strings.Repeat("x", maxForm))
	wantStatus(t, postForm(t, New(Options{}), tokenPath, form), http.StatusRequestEntityTooLarge)
}

func TestOptions(t *testing.T) {
	s := New(Options{ClientID: "id", ClientSecret: "secret", Audience: "https://api.example.com", Lifetime: 6500 * time.Millisecond})
	wantStatus(t, postForm(t, s, tokenPath, goodForm()), http.StatusUnauthorized)
	form := goodForm()
	form.Set("client_id", "id")
	form.Set("client_secret", "secret")
	form.Set("audience", "https://api.example.com")
	var got tokenAnswer
	decodeAnswer(t, postForm(t, s, tokenPath, form), http.StatusOK, &got)
	if got.ExpiresIn != 6 {
		t.Errorf("got expires_in %d, want 6: rounded down", got.ExpiresIn)
	}
}

func TestClientRotation(t *testing.T) {
	s := New(Options{})
	old := fetch(t, s).AccessToken
	s.SetClient(DefaultClientID, "rotated")
	wantStatus(t, postForm(t, s, tokenPath, goodForm()), http.StatusUnauthorized)
	form := goodForm()
	form.Set("client_secret", "rotated")
	wantStatus(t, postForm(t, s, tokenPath, form), http.StatusOK)

	s.SetClient("second", "other")
	form.Set("client_id", "second")
	form.Set("client_secret", "other")
	wantStatus(t, postForm(t, s, tokenPath, form), http.StatusOK)
	s.RemoveClient("second")
	s.RemoveClient("unknown")
	wantStatus(t, postForm(t, s, tokenPath, form), http.StatusUnauthorized)

	wantStatus(t, do(t, s, "GET", "/channels", "", bearer(old)), http.StatusOK) // as at eTrusted, it lives on
}

func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Lifetime: 6 * time.Second})
		first := fetch(t, s)
		if first.ExpiresIn != 6 {
			t.Errorf("got expires_in %d, want 6", first.ExpiresIn)
		}
		s.SetLifetime(0)
		second := fetch(t, s)
		if second.ExpiresIn != 300 {
			t.Errorf("got expires_in %d, want the default", second.ExpiresIn)
		}
		time.Sleep(6*time.Second - 1)
		wantStatus(t, do(t, s, "GET", "/channels", "", bearer(first.AccessToken)), http.StatusOK)
		time.Sleep(time.Nanosecond)
		wantStatus(t, do(t, s, "GET", "/channels", "", bearer(first.AccessToken)), http.StatusUnauthorized)
		wantStatus(t, do(t, s, "GET", "/channels", "", bearer(second.AccessToken)), http.StatusOK)

		s.SetLifetime(-time.Minute)
		dead := fetch(t, s)
		if dead.ExpiresIn != -60 {
			t.Errorf("got expires_in %d, want -60", dead.ExpiresIn)
		}
		wantStatus(t, do(t, s, "GET", "/channels", "", bearer(dead.AccessToken)), http.StatusUnauthorized)
	})
}

func TestRevoke(t *testing.T) {
	s := New(Options{})
	s.Revoke() // with none issued
	old := fetch(t, s).AccessToken
	wantStatus(t, do(t, s, "GET", "/channels", "", bearer(old)), http.StatusOK)
	s.Revoke()
	wantStatus(t, do(t, s, "GET", "/channels", "", bearer(old)), http.StatusUnauthorized)
	fresh := fetch(t, s).AccessToken
	wantStatus(t, do(t, s, "GET", "/channels", "", bearer(fresh)), http.StatusOK)
	if got := s.Tokens(); !slices.Equal(got, []string{old, fresh}) {
		t.Errorf("remembered %q, want the revoked one too", got)
	}
}

func TestExpiredTokensAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Lifetime: 30 * time.Second})
		first := fetch(t, s).AccessToken
		time.Sleep(30*time.Second + tokenRetention - 1)
		second := fetch(t, s).AccessToken
		if got := s.Tokens(); !slices.Equal(got, []string{first, second}) {
			t.Errorf("remembered %d, want both", len(got))
		}
		time.Sleep(time.Nanosecond)
		third := fetch(t, s).AccessToken
		if got := s.Tokens(); !slices.Equal(got, []string{second, third}) {
			t.Errorf("remembered %d, want the last two", len(got))
		}
	})
}

func TestTokensAreBounded(t *testing.T) {
	tk := newTokens()
	first := tk.issue("c", "a", "s", time.Hour)
	for range maxTokens {
		tk.issue("c", "a", "s", time.Hour)
	}
	if n := len(tk.list()); n != maxTokens || len(tk.known) != maxTokens {
		t.Errorf("%d and %d remembered, want %d", n, len(tk.known), maxTokens)
	}
	if tk.valid(first) {
		t.Error("the oldest should have gone")
	}
}
