// Package tokenendpoint answers the token requests of apps that insist on making them. What they get is worth nothing outside
// this broker, which puts the real token in its place.
package tokenendpoint

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// Endpoint is a token endpoint as in RFC 6749 section 3.2, for the client credentials grant. Its fields must not change
// while it is used; its methods may be called from any goroutine.
type Endpoint struct {
	// AccountExists reports whether there is an account of a name; nil if there is none with a name.
	AccountExists func(name string) bool
	// ValidKey reports whether a client secret is the broker's access key; nil if none is asked for.
	ValidKey func(secret string) bool
}

const (
	// tokenLifetime is what an app is told in seconds. The token has no end; it is for the app's own bookkeeping.
	tokenLifetime = 3600
	// keyedTokenLifetime is for tokens that carry the access key: for so long an old key is still taken after a change, so an
	// app that fetches a new one by then never shows a key that is not.
	keyedTokenLifetime = 60
	// maxForm is more than any credentials need.
	maxForm = 64 << 10
)

// Matches reports whether a request is for the Endpoint, and not for the API: a POST to the path of eTrusted's token
// endpoint, or to that of its older one. path is as the app sent it.
func Matches(method, path string) bool {
	return method == http.MethodPost && (path == "/oauth/token" || path == "/auth/realms/business/protocol/openid-connect/token")
}

// Response is what an Endpoint makes of a request.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// ErrorCode is the error code of RFC 6749 section 5.2; empty for a token. WrongKey reports that the client secret is not
	// the access key.
	ErrorCode string
	WrongKey  bool
}

// Handle answers a token request. account is that which the request's path names, empty if it names none. It holds
// nothing of what the request brought but the access key, if that was right, and an account's name.
//
// The key comes first: without it, every request gets the same answer, whatever else is wrong with it.
func (e *Endpoint) Handle(r *http.Request, account string) Response {
	form, problem := readForm(r)
	id, secret, inHeader := e.clientCredentials(r, form)
	if e.ValidKey != nil && !e.ValidKey(secret) {
		a := errorResponse(http.StatusUnauthorized, "invalid_client", "client_secret must be the broker's access key, in a form body or in Basic authentication")
		if a.WrongKey = true; inHeader {
			a.Header.Set("WWW-Authenticate", `Basic realm="etrusted-broker", charset="UTF-8"`)
		}
		return a
	}
	if problem != nil {
		return *problem
	}
	switch grant := form.Get("grant_type"); grant {
	case "client_credentials":
	case "":
		return errorResponse(http.StatusBadRequest, "invalid_request", "grant_type is missing: send grant_type=client_credentials in a form body")
	default:
		return errorResponse(http.StatusBadRequest, "unsupported_grant_type", "the broker answers grant_type=client_credentials alone")
	}
	if account == "" && e.AccountExists != nil && e.AccountExists(id) {
		account = id
	}
	token := Token{Account: account}
	seconds := tokenLifetime
	if e.ValidKey != nil {
		token.Key, seconds = secret, keyedTokenLifetime
	}
	return jsonResponse(http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}{token.String(), "Bearer", seconds})
}

// readForm reads the body, which RFC 6749 section 4.4.2 wants to be a form.
func readForm(r *http.Request) (url.Values, *Response) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		a := errorResponse(http.StatusBadRequest, "invalid_request", "the body must be a form: Content-Type: application/x-www-form-urlencoded")
		return nil, &a
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		a := errorResponse(http.StatusBadRequest, "invalid_request", "the form cannot be read, or is too long")
		return nil, &a
	}
	return r.PostForm, nil
}

// clientCredentials are in a Basic header, where each half should be encoded as in a form, or in the form: RFC 6749 section
// 2.3.1. Many clients do not encode them, so an access key is looked for in either.
func (e *Endpoint) clientCredentials(r *http.Request, form url.Values) (id, secret string, inHeader bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return form.Get("client_id"), form.Get("client_secret"), false
	}
	if e.ValidKey == nil || !e.ValidKey(password) {
		password = unescape(password)
	}
	return unescape(user), password, true
}

func unescape(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

func errorResponse(status int, code, description string) Response {
	a := jsonResponse(status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
	a.ErrorCode = code
	return a
}

func jsonResponse(status int, body any) Response {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // of strings and a number
	}
	return Response{Status: status, Body: text, Header: http.Header{
		"Content-Type":  {"application/json"},
		"Cache-Control": {"no-store"},
		"Pragma":        {"no-cache"}, // RFC 6749 section 5.1
	}}
}

// Token is what the Endpoint gives out.
type Token struct {
	Account string // empty for the default account
	Key     string // the access key; empty if none is asked for
}

const tokenPrefix = "placeholder"

// String returns the token as it is sent: placeholder, placeholder:ACCOUNT, or with the key placeholder:ACCOUNT:KEY.
func (t Token) String() string {
	switch {
	case t.Key != "":
		return tokenPrefix + ":" + t.Account + ":" + t.Key
	case t.Account != "":
		return tokenPrefix + ":" + t.Account
	default:
		return tokenPrefix
	}
}

// Parse is the reverse of String. It reports false for what is no placeholder.
func Parse(token string) (Token, bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || rest != "" && rest[0] != ':' {
		return Token{}, false
	}
	account, key, _ := strings.Cut(strings.TrimPrefix(rest, ":"), ":")
	return Token{account, key}, true
}

// AccessKey returns the key that a token carries; the token itself if it is no placeholder, or carries none.
func AccessKey(token string) string {
	if t, ok := Parse(token); ok && t.Key != "" {
		return t.Key
	}
	return token
}
