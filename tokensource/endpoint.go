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
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"etrusted-broker/internal/neterr"
)

// TokenEndpoint describes the token endpoint (RFC 6749 section 3.2) and how to send requests to it.
type TokenEndpoint struct {
	URL      string
	Audience string   // the audience parameter, which eTrusted requires; not sent if empty
	Scopes   []string // RFC 6749 section 3.3; the parameter is not sent without scopes
	API      string   // the base URL of the API that the tokens are for; empty: the broker's. Not sent; a Store separates tokens by API
	// Timeout limits one token request, including reading the response. The default is 29 s: a slow login server is better
	// than none, and a second request looks for one that has recovered; see hedgeAfter.
	Timeout   time.Duration
	Transport http.RoundTripper // sends the requests; required
	UserAgent string            // the User-Agent header; the transport's default if empty
}

// maxResponseSize limits the body of a token response. A token is a few kB.
const maxResponseSize = 1 << 20

// requestToken makes one token request with the client credentials grant (RFC 6749 section 4.4). Its error quotes nothing of the
// response, which may repeat the secret.
//
// Package clientcredentials builds the request, but gets an empty response: http.Client would follow a 307, with the secret, to
// another host, and oauth2 quotes the response in its errors.
func (e *TokenEndpoint) requestToken(ctx context.Context, credentials Credentials) (fresh *token, failure *RefreshError) {
	failure = &RefreshError{Outcome: OutcomeInvalidResponse, Reason: "the token request could not be created", Advice: wrongEndpointAdvice}
	client := &http.Client{Transport: roundTripFunc(func(request *http.Request) (*http.Response, error) {
		fresh, failure = e.exchange(request)
		return &http.Response{Body: http.NoBody}, nil
	})}
	config := clientcredentials.Config{
		ClientID:     credentials.ID.Reveal(),
		ClientSecret: credentials.Secret.Reveal(),
		TokenURL:     e.URL,
		Scopes:       e.Scopes,
		AuthStyle:    oauth2.AuthStyleInParams, // auto-detection would send every rejected pair twice
	}
	if e.Audience != "" {
		config.EndpointParams = url.Values{"audience": {e.Audience}}
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	_, _ = config.Token(context.WithValue(ctx, oauth2.HTTPClient, client)) // an error in any case
	return fresh, failure
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// exchange sends a token request and interprets the response.
func (e *TokenEndpoint) exchange(request *http.Request) (*token, *RefreshError) {
	request = request.Clone(request.Context()) // a RoundTripper must not modify its request
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	if e.UserAgent != "" {
		request.Header.Set("User-Agent", e.UserAgent)
	}
	sent := time.Now()
	response, err := e.Transport.RoundTrip(request)
	var body []byte
	if err == nil {
		body, err = readAndUnzipBody(response.Body)
		_ = response.Body.Close() // only read from
	}
	if err != nil {
		failure := transferError(err)
		failure.timedOut = errors.Is(err, context.DeadlineExceeded)
		return nil, failure
	}
	received := time.Now()
	fresh, failure := interpretResponse(response, body, received)
	if failure == nil {
		fresh.issued, fresh.received = sent, received
	}
	return fresh, failure
}

func transferError(err error) *RefreshError {
	if errors.Is(err, errResponseTooLarge) || errors.Is(err, errNotGzip) {
		return notTokenResponseError(err.Error())
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

// readAndUnzipBody returns the text of a response. Some servers compress it unasked, and some put a byte order mark in front.
func readAndUnzipBody(r io.Reader) ([]byte, error) {
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
