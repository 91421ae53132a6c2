package tokensource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
	// Transport sends the requests. It is required.
	Transport http.RoundTripper
	// Timeout limits one whole attempt, including reading the response. The default is ten seconds: half of what
	// remains of eTrusted's 300 seconds when the refresh is due leaves room for three attempts.
	Timeout time.Duration
	// UserAgent is the User-Agent header; the transport's default if empty.
	UserAgent string
}

// maxResponseSize limits the body of a token response. A token is a few kB.
const maxResponseSize = 1 << 20

// requestToken makes one token request with the client credentials grant (RFC 6749 section 4.4). Package
// clientcredentials builds and sends the request. Its result is discarded, because its errors quote the response body;
// interpretResponse reads the recorded response instead.
func (e *TokenEndpoint) requestToken(ctx context.Context, credentials Credentials) (issuedToken, *RefreshError) {
	recorder := &responseRecorder{next: e.Transport, userAgent: e.UserAgent}
	client := &http.Client{
		Transport: recorder,
		// A 307 would send the secret to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
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
	_, _ = config.Token(context.WithValue(ctx, oauth2.HTTPClient, client)) // the recorder has the result
	switch {
	case recorder.err != nil:
		return issuedToken{}, networkError(recorder.err)
	case recorder.response == nil: // nothing was sent
		return issuedToken{}, &RefreshError{Outcome: OutcomeInvalidResponse, Reason: "the token request could not be created", Advice: wrongEndpointAdvice}
	}
	return interpretResponse(recorder.response, recorder.body, time.Now())
}

func networkError(err error) *RefreshError {
	if errors.Is(err, errResponseTooLarge) {
		return invalidResponseError(errResponseTooLarge.Error())
	}
	described := neterr.Describe("the login server", err)
	return &RefreshError{
		Outcome: OutcomeUnavailable,
		Reason:  described.Detail,
		Advice:  described.Hint + " The broker retries automatically.",
	}
}

var errResponseTooLarge = fmt.Errorf("it is larger than %d bytes", maxResponseSize)

// responseRecorder is an http.RoundTripper that keeps the response to a token request as it was received.
type responseRecorder struct {
	next      http.RoundTripper
	userAgent string

	response *http.Response // its body has been read and closed
	body     []byte
	err      error
}

// RoundTrip sends the request and reads the whole response.
func (r *responseRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context()) // a RoundTripper must not modify its request
	req.Header.Set("Accept", "application/json")
	if r.userAgent != "" {
		req.Header.Set("User-Agent", r.userAgent)
	}
	response, err := r.next.RoundTrip(req)
	if err != nil {
		r.err = err
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponseSize+1))
	_ = response.Body.Close() // only read from
	if err == nil && len(body) > maxResponseSize {
		err = errResponseTooLarge
	}
	if err != nil {
		r.err = err
		return nil, err
	}
	r.response, r.body = response, body
	copied := *response
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return &copied, nil
}

// interpretResponse maps a response of the token endpoint (RFC 6749 sections 5.1 and 5.2) to a token or an error.
func interpretResponse(response *http.Response, body []byte, now time.Time) (issuedToken, *RefreshError) {
	status := response.StatusCode
	if status == http.StatusOK {
		return interpretOK(body)
	}
	code := errorCode(body)
	switch {
	case isCredentialError(code), status == http.StatusUnauthorized, status == http.StatusForbidden:
		return issuedToken{}, rejectedError(status, code)
	case status >= 300 && status < 400:
		return issuedToken{}, invalidResponseError(fmt.Sprintf("it is a redirect (%d), which is never followed, because it would send the secret to another address", status))
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500, code == "temporarily_unavailable":
		return issuedToken{}, &RefreshError{
			Outcome:    OutcomeUnavailable,
			Reason:     "the login server answered " + statusText(status, ""),
			Advice:     outageAdvice,
			RetryAfter: retryAfter(response.Header.Get("Retry-After"), now),
		}
	case code == "invalid_scope":
		refreshErr := invalidResponseError(statusText(status, code))
		refreshErr.Parameters = true
		refreshErr.Advice = "Check ETRUSTED_SCOPES: the client does not have one of these scopes. The broker retries automatically."
		return issuedToken{}, refreshErr
	case code != "":
		refreshErr := invalidResponseError(statusText(status, code))
		refreshErr.Parameters = code == "invalid_request" || code == "invalid_target" || code == "access_denied"
		refreshErr.Advice = "Check ETRUSTED_AUDIENCE, ETRUSTED_SCOPES and ETRUSTED_TOKEN_URL. The broker retries automatically."
		return issuedToken{}, refreshErr
	default:
		return issuedToken{}, invalidResponseError(fmt.Sprintf("its status is %d", status))
	}
}

func interpretOK(body []byte) (issuedToken, *RefreshError) {
	issued, code, err := parseTokenResponse(body)
	switch {
	case err != nil:
		return issuedToken{}, invalidResponseError(err.Error())
	case isCredentialError(code): // some servers report errors with status 200
		return issuedToken{}, rejectedError(http.StatusOK, code)
	case code != "":
		return issuedToken{}, invalidResponseError("it is the error " + code)
	}
	return issued, nil
}

// isCredentialError reports whether an error code of RFC 6749 section 5.2 means that the credentials are wrong.
func isCredentialError(code string) bool {
	return code == "invalid_client" || code == "unauthorized_client"
}

// retryAfter parses a Retry-After header (RFC 9110 section 10.2.3): seconds, or a date. It returns zero if the header
// is missing or invalid, or if the date has passed.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
