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

// Endpoint tells how to ask for a token.
type Endpoint struct {
	URL      string   // of the token endpoint
	Audience string   // the audience parameter, which eTrusted requires; not sent if empty
	Scopes   []string // RFC 6749 section 3.3; the parameter is not sent if there are none
	// Transport carries the request. It must not be nil.
	Transport http.RoundTripper
	// Timeout is for one whole attempt, the reading of the answer included; zero is ten seconds: half of what is
	// left of eTrusted's 300 seconds after the refresh is due holds three of them.
	Timeout time.Duration
	// UserAgent names this program to the login server; not changed if empty.
	UserAgent string
}

// maxAnswer bounds the body of a token answer. A token is a few kB.
const maxAnswer = 1 << 20

// grant is what a token answer gave.
type grant struct {
	accessToken string
	lifetime    time.Duration
}

// exchange makes one token request with the client credentials grant (RFC 6749 section 4.4). Package
// clientcredentials forms and sends the request; what came back is read by interpret alone, since the package's
// errors quote the answer's body.
func (e *Endpoint) exchange(ctx context.Context, credentials Credentials) (grant, *Failure) {
	seen := &recorder{next: e.Transport, userAgent: e.UserAgent}
	client := &http.Client{
		Transport: seen,
		// A 307 would carry the secret to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	config := clientcredentials.Config{
		ClientID:     credentials.ID.Reveal(),
		ClientSecret: credentials.Secret.Reveal(),
		TokenURL:     e.URL,
		Scopes:       e.Scopes,
		AuthStyle:    oauth2.AuthStyleInParams, // detection would send every rejected pair twice
	}
	if e.Audience != "" {
		config.EndpointParams = url.Values{"audience": {e.Audience}}
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	_, _ = config.Token(context.WithValue(ctx, oauth2.HTTPClient, client)) // what it returns is read off the recorder
	switch {
	case seen.err != nil:
		return grant{}, unreachable(seen.err)
	case seen.response == nil: // nothing was sent
		return grant{}, &Failure{Outcome: InvalidResponse, Reason: "the token request could not be made", Advice: tokenURLAdvice}
	}
	return interpret(seen.response, seen.body, time.Now())
}

func unreachable(err error) *Failure {
	if errors.Is(err, errTooLarge) {
		return invalidResponse(errTooLarge.Error())
	}
	fault := neterr.Describe(err)
	return &Failure{
		Outcome: Unavailable,
		Reason:  "the login server " + fault.Message,
		Advice:  fault.Advice + " The broker tries again by itself.",
	}
}

var errTooLarge = fmt.Errorf("it is larger than %d bytes", maxAnswer)

// recorder keeps the answer to a token request as it came off the wire.
type recorder struct {
	next      http.RoundTripper
	userAgent string

	response *http.Response // its body is read and closed
	body     []byte
	err      error
}

// RoundTrip sends the request and reads the whole answer.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context()) // a RoundTripper must not change what it is given
	req.Header.Set("Accept", "application/json")
	if r.userAgent != "" {
		req.Header.Set("User-Agent", r.userAgent)
	}
	response, err := r.next.RoundTrip(req)
	if err != nil {
		r.err = err
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	_ = response.Body.Close() // it has been read
	if err == nil && len(body) > maxAnswer {
		err = errTooLarge
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

// interpret tells what an answer of the token endpoint means: RFC 6749 sections 5.1 and 5.2.
func interpret(response *http.Response, body []byte, now time.Time) (grant, *Failure) {
	status := response.StatusCode
	if status == http.StatusOK {
		return interpretSuccess(body)
	}
	code := errorCode(body)
	switch {
	case rejects(code), status == http.StatusUnauthorized, status == http.StatusForbidden:
		return grant{}, rejected(status, code)
	case status >= 300 && status < 400:
		return grant{}, invalidResponse(fmt.Sprintf("it is a redirect (%d), which is never followed, since it would carry the secret to another address", status))
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500, code == "temporarily_unavailable":
		return grant{}, &Failure{
			Outcome:    Unavailable,
			Reason:     "the login server answered " + statusAndCode(status, ""),
			Advice:     outageAdvice,
			RetryAfter: retryAfter(response.Header.Get("Retry-After"), now),
		}
	case code == "invalid_scope":
		failure := invalidResponse(statusAndCode(status, code))
		failure.Parameters = true
		failure.Advice = "Check ETRUSTED_SCOPES: the client does not have one of them. The broker tries again by itself."
		return grant{}, failure
	case code != "":
		failure := invalidResponse(statusAndCode(status, code))
		failure.Parameters = code == "invalid_request" || code == "invalid_target" || code == "access_denied"
		failure.Advice = "Check ETRUSTED_AUDIENCE, ETRUSTED_SCOPES and ETRUSTED_TOKEN_URL. The broker tries again by itself."
		return grant{}, failure
	default:
		return grant{}, invalidResponse(fmt.Sprintf("its status is %d", status))
	}
}

func interpretSuccess(body []byte) (grant, *Failure) {
	answer, err := parseAnswer(body)
	if err != nil {
		return grant{}, invalidResponse(err.Error())
	}
	if answer.errorCode != "" { // some servers say 200 and mean an error
		if rejects(answer.errorCode) {
			return grant{}, rejected(http.StatusOK, answer.errorCode)
		}
		return grant{}, invalidResponse("it is the error " + answer.errorCode)
	}
	return answer.grant, nil
}

// rejects reports whether an error code of RFC 6749 section 5.2 means that the credentials are at fault.
func rejects(code string) bool {
	return code == "invalid_client" || code == "unauthorized_client"
}

// retryAfter reads the header of that name (RFC 9110 section 10.2.3): seconds, or a date. It returns zero where there
// is none, or none that can be read, or one that is past.
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
