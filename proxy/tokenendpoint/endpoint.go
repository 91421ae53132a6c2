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

// IsTokenRequest reports whether a request is a token request: a POST to the path of eTrusted's token endpoint, the current or the
// older one. path is as the app sent it.
func IsTokenRequest(method, path string) bool {
	return method == http.MethodPost && (path == "/oauth/token" || path == "/auth/realms/business/protocol/openid-connect/token")
}

// Request is a token request (RFC 6749 section 4.4.2).
type Request struct {
	Account       string // in the path; empty without one
	ContentType   string
	Authorization string // the value of that field; empty without it
	Body          io.Reader
	// AccountExists reports whether an account exists; nil if there is only the default account.
	AccountExists func(name string) bool
	// CheckSecret reports whether a client secret is accepted, and returns the access key in it, which becomes part of the token;
	// empty if the token needs none. Nil accepts any, without a key.
	CheckSecret func(secret string) (key string, ok bool)
}

// Response is the response to a token request.
type Response struct {
	Status    int
	Challenge string // for WWW-Authenticate; empty if that field is missing
	Body      []byte // JSON that must not be stored: RFC 6749 section 5.1
	ErrorCode string // RFC 6749 section 5.2; empty for a token
}

// InvalidClient is the ErrorCode if CheckSecret does not accept the client secret, and only then.
const InvalidClient = "invalid_client"

// Handle answers a token request. The key is checked first: without it, every request gets the same response, whatever else is
// wrong. The response contains nothing of the request, except the key and the name of an account.
func Handle(r Request) Response {
	if r.CheckSecret == nil {
		r.CheckSecret = func(string) (string, bool) { return "", true }
	}
	form, invalid := readForm(r)
	id, secret, inHeader := r.clientCredentials(form)
	key, accepted := r.CheckSecret(secret)
	if !accepted {
		response := errorResponse(http.StatusUnauthorized, InvalidClient, "client_secret must be the broker's access key, in a form body or in Basic authentication")
		if inHeader {
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
	if account == "" && r.AccountExists != nil && r.AccountExists(id) {
		account = id
	}
	seconds := 3600 // the broker itself lets no placeholder token expire
	if key != "" {
		seconds = 60 // as long as the old key is valid after a change (keyGracePeriod in package access), so an app always has a valid one
	}
	token := PlaceholderToken{account, key}.String()
	return jsonResponse(http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": seconds})
}

// readForm reads the body, which must be a form. Its errors are for the app.
func readForm(r Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.ContentType); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("the body must be a form: Content-Type: application/x-www-form-urlencoded")
	}
	const maxSize = 64 << 10 // more than any credentials need
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSize+1))
	form, malformed := url.ParseQuery(string(body))
	if err != nil || malformed != nil || len(body) > maxSize {
		return nil, errors.New("the form cannot be read, or is too long")
	}
	return form, nil
}

// clientCredentials returns the client ID and secret from a Basic header or from the form: RFC 6749 section 2.3.1. In the
// header, both should be encoded as in a form. Many clients do not do that, so the access key may be in either form.
func (r *Request) clientCredentials(form url.Values) (id, secret string, inHeader bool) {
	user, password, ok := (&http.Request{Header: http.Header{"Authorization": {r.Authorization}}}).BasicAuth()
	if !ok {
		return form.Get("client_id"), form.Get("client_secret"), false
	}
	if key, accepted := r.CheckSecret(password); !accepted || key == "" {
		password = formDecodeLeniently(password)
	}
	return formDecodeLeniently(user), password, true
}

// formDecodeLeniently decodes what is encoded as in a form, and returns other text unchanged.
func formDecodeLeniently(text string) string {
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
	text, _ := json.Marshal(body) // of strings and numbers, it cannot fail
	return Response{Status: status, Body: text}
}

// PlaceholderToken is a placeholder token.
type PlaceholderToken struct {
	Account string // empty for the default account
	Key     string // the access key; empty if none is required
}

const placeholderPrefix = "placeholder"

// String returns the token as it is sent: placeholder, placeholder:ACCOUNT, or with the key placeholder:ACCOUNT:KEY.
func (t PlaceholderToken) String() string {
	text := placeholderPrefix
	if t != (PlaceholderToken{}) {
		text += ":" + t.Account
	}
	if t.Key != "" {
		text += ":" + t.Key
	}
	return text
}

// ParsePlaceholderToken parses the result of String. It reports false for anything else.
func ParsePlaceholderToken(token string) (PlaceholderToken, bool) {
	rest, ok := strings.CutPrefix(token, placeholderPrefix)
	if !ok || rest != "" && rest[0] != ':' {
		return PlaceholderToken{}, false
	}
	account, key, _ := strings.Cut(strings.TrimPrefix(rest, ":"), ":")
	return PlaceholderToken{account, key}, true
}

// AccessKeyOrToken returns the access key in a placeholder token. Any other token is itself the key.
func AccessKeyOrToken(token string) string {
	if t, ok := ParsePlaceholderToken(token); ok && t.Key != "" {
		return t.Key
	}
	return token
}
