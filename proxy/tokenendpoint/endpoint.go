// Package tokenendpoint answers the token requests of apps that make their own. They get a placeholder token, which is
// useless elsewhere: the broker replaces it with the real one.
package tokenendpoint

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// Endpoint is a token endpoint (RFC 6749 section 3.2) for the client credentials grant. It is safe for concurrent use, as long
// as its fields do not change.
type Endpoint struct {
	// AccountExists reports whether an account exists; nil if there is only the default account.
	AccountExists func(name string) bool
	// CheckSecret reports whether a client secret is accepted, and returns the access key in it, which becomes part of the token;
	// empty if the token needs none. Nil accepts any, without a key.
	CheckSecret func(secret string) (key string, ok bool)
}

const (
	// tokenLifetime is the expires_in of a token, in seconds. The broker itself lets no placeholder token expire.
	tokenLifetime = 3600
	// keyedTokenLifetime is for tokens that contain the access key. After a change, the old key is valid for as long, so an
	// app that fetches a new token by then never sends an invalid key.
	keyedTokenLifetime = 60
	// maxForm is more than any credentials need.
	maxForm = 64 << 10
)

// Matches reports whether a request is a token request: a POST to the path of eTrusted's token endpoint, the current or the
// older one. path is as the app sent it.
func Matches(method, path string) bool {
	return method == http.MethodPost && (path == "/oauth/token" || path == "/auth/realms/business/protocol/openid-connect/token")
}

// Request is a token request.
type Request struct {
	Account       string // in the path; empty without one
	ContentType   string
	Authorization string // the value of that field; empty without it
	Body          io.Reader
}

// Response is the response to a token request.
type Response struct {
	Status int
	// Challenge is for WWW-Authenticate; empty if that field is missing. The content is JSON and must not be stored (RFC 6749
	// section 5.1).
	Challenge string
	Body      []byte
	// ErrorCode is an error code of RFC 6749 section 5.2; empty for a token. WrongKey means that the client secret is not the
	// access key.
	ErrorCode string
	WrongKey  bool
}

// Handle answers a token request. The response contains nothing of the request, except the access key, if it is correct, and
// the name of an account.
//
// The key is checked first: without it, every request gets the same response, whatever else is wrong.
func (e *Endpoint) Handle(r Request) Response {
	form, invalid := readForm(r)
	id, secret, inHeader := e.clientCredentials(r.Authorization, form)
	key, accepted := e.checkSecret(secret)
	if !accepted {
		response := errorResponse(http.StatusUnauthorized, "invalid_client", "client_secret must be the broker's access key, in a form body or in Basic authentication")
		if response.WrongKey = true; inHeader {
			response.Challenge = `Basic realm="etrusted-broker", charset="UTF-8"`
		}
		return response
	}
	switch grant := form.Get("grant_type"); {
	case invalid != nil:
		return errorResponse(http.StatusBadRequest, "invalid_request", invalid.Error())
	case grant == "":
		return errorResponse(http.StatusBadRequest, "invalid_request", "grant_type is missing: send grant_type=client_credentials in a form body")
	case grant != "client_credentials":
		return errorResponse(http.StatusBadRequest, "unsupported_grant_type", "the broker supports only grant_type=client_credentials")
	}
	account := r.Account
	if account == "" && e.AccountExists != nil && e.AccountExists(id) {
		account = id
	}
	token := Token{Account: account, Key: key}
	seconds := tokenLifetime
	if key != "" {
		seconds = keyedTokenLifetime
	}
	return jsonResponse(http.StatusOK, map[string]any{"access_token": token.String(), "token_type": "Bearer", "expires_in": seconds})
}

// readForm reads the body, which must be a form: RFC 6749 section 4.4.2. Its errors are for the app.
func readForm(r Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.ContentType); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("the body must be a form: Content-Type: application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	form, malformed := url.ParseQuery(string(body))
	if err != nil || malformed != nil || len(body) > maxForm {
		return nil, errors.New("the form cannot be read, or is too long")
	}
	return form, nil
}

// clientCredentials returns the client ID and secret from a Basic header or from the form: RFC 6749 section 2.3.1. In the
// header, both should be encoded as in a form. Many clients do not do that, so the access key may be in either form.
func (e *Endpoint) clientCredentials(authorization string, form url.Values) (id, secret string, inHeader bool) {
	user, password, ok := (&http.Request{Header: http.Header{"Authorization": {authorization}}}).BasicAuth()
	if !ok {
		return form.Get("client_id"), form.Get("client_secret"), false
	}
	if key, accepted := e.checkSecret(password); !accepted || key == "" {
		password = unescape(password)
	}
	return unescape(user), password, true
}

func (e *Endpoint) checkSecret(secret string) (key string, ok bool) {
	if e.CheckSecret == nil {
		return "", true
	}
	return e.CheckSecret(secret)
}

func unescape(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

func errorResponse(status int, code, description string) Response {
	response := jsonResponse(status, map[string]any{"error": code, "error_description": description})
	response.ErrorCode = code
	return response
}

func jsonResponse(status int, body map[string]any) Response {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // impossible for strings and numbers
	}
	return Response{Status: status, Body: text}
}

// Token is a placeholder token.
type Token struct {
	Account string // empty for the default account
	Key     string // the access key; empty if none is required
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

// Parse parses the result of String. It reports false for anything else.
func Parse(token string) (Token, bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || rest != "" && rest[0] != ':' {
		return Token{}, false
	}
	account, key, _ := strings.Cut(strings.TrimPrefix(rest, ":"), ":")
	return Token{account, key}, true
}

// AccessKey returns the access key in a placeholder token. Any other token is itself the key.
func AccessKey(token string) string {
	if t, ok := Parse(token); ok && t.Key != "" {
		return t.Key
	}
	return token
}
