package tokensource

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"etrusted-broker/internal/neterr"
)

// TokenEndpoint describes the token endpoint (RFC 6749 section 3.2) and how to send requests to it.
type TokenEndpoint struct {
	URL      string
	Audience string   // the audience parameter, which eTrusted requires; not sent if empty
	Scopes   []string // RFC 6749 section 3.3; the parameter is not sent without scopes
	// Transport sends the requests. It is required.
	Transport http.RoundTripper
	// Timeout limits one token request, including reading the response. The default is 29 s: a slow login server is better
	// than none, and a second request looks for one that has recovered; see hedgeAfter.
	Timeout time.Duration
	// UserAgent is the User-Agent header; the transport's default if empty.
	UserAgent string
}

// maxResponseSize limits the body of a token response. A token is a few kB.
const maxResponseSize = 1 << 20

// requestToken makes one token request with the client credentials grant (RFC 6749 section 4.4). Its error quotes nothing of the
// response, which may repeat the secret.
func (e *TokenEndpoint) requestToken(ctx context.Context, credentials Credentials) (*token, *RefreshError) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {credentials.ID.Reveal()}, "client_secret": {credentials.Secret.Reveal()},
	}
	if e.Audience != "" {
		form.Set("audience", e.Audience)
	}
	if len(e.Scopes) > 0 {
		form.Set("scope", strings.Join(e.Scopes, " "))
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &RefreshError{Outcome: OutcomeInvalidResponse, Reason: "the token request could not be created", Advice: wrongEndpointAdvice}
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	if e.UserAgent != "" {
		request.Header.Set("User-Agent", e.UserAgent)
	}
	sent := time.Now()
	response, err := e.Transport.RoundTrip(request) // not a http.Client: it follows a 307, with the secret, to another host
	var body []byte
	if err == nil {
		body, err = readBody(response.Body)
		_ = response.Body.Close() // only read from
	}
	if err != nil {
		failure := networkError(err)
		failure.timedOut = errors.Is(err, context.DeadlineExceeded)
		return nil, failure
	}
	received := time.Now()
	fresh, failure := interpretResponse(response, body, received)
	if failure != nil {
		return nil, failure
	}
	fresh.issued, fresh.received = sent, received
	return fresh, nil
}

func networkError(err error) *RefreshError {
	if errors.Is(err, errResponseTooLarge) || errors.Is(err, errNotGzip) {
		return invalidResponseError(err.Error())
	}
	described := neterr.Describe("the login server", err)
	return &RefreshError{
		Outcome: OutcomeUnavailable,
		Reason:  described.Detail,
		Advice:  described.Hint + " The broker retries automatically.",
	}
}

var (
	errResponseTooLarge = fmt.Errorf("it is larger than %d bytes", maxResponseSize)
	errNotGzip          = errors.New("it is not valid gzip")
)

// readBody returns the text of a response. Some servers compress it although Accept-Encoding forbids that, and some put a
// byte order mark in front.
func readBody(r io.Reader) ([]byte, error) {
	buffered := bufio.NewReader(r)
	r = buffered
	if magic, _ := buffered.Peek(2); string(magic) == "\x1f\x8b" {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, errNotGzip
		}
		r = unzipped
	}
	body, err := io.ReadAll(io.LimitReader(r, maxResponseSize+1))
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, new(flate.CorruptInputError)):
		return nil, errNotGzip
	case err != nil:
		return nil, err
	case len(body) > maxResponseSize:
		return nil, errResponseTooLarge
	}
	return bytes.TrimPrefix(body, []byte("\ufeff")), nil
}
