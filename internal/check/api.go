package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"etrusted-broker/internal/neterr"
)

// maxChannelsBody bounds the list of channels, in bytes. A channel takes some hundred.
const maxChannelsBody = 4 << 20

// getChannels sends the one harmless request, and describes the response. It does not follow a redirect, which would send the
// token to another host. Of the response, only the status is ever shown.
func (c *checker) getChannels(ctx context.Context, authorization string, report *AccountReport) Step {
	request := &http.Request{Method: http.MethodGet, URL: c.channelsURL(), Header: http.Header{
		"Authorization": {authorization},
		"Accept":        {"application/json"},
		"User-Agent":    {c.UserAgent},
	}}
	response, err := c.api.RoundTrip(request.WithContext(ctx))
	var body []byte
	if err == nil {
		defer func() { _ = response.Body.Close() }() // the connection is not reused
		body, err = io.ReadAll(io.LimitReader(response.Body, maxChannelsBody))
	}
	if err != nil {
		explained := neterr.Describe("the API", err)
		return failed(c.API.Cause, explained.Detail, explained.Hint)
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	isHTML := kind == "text/html" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	return c.describeChannels(response.StatusCode, isHTML, body, report)
}

// channelsURL returns the URL of the list of channels. The API's own URL has no path.
func (c *checker) channelsURL() *url.URL {
	return &url.URL{Scheme: c.API.URL.Scheme, Host: c.API.URL.Host, Path: "/channels"}
}

const (
	wrongURLAdvice = "Check ETRUSTED_API_URL: it should be https://api.etrusted.com. No proxy or captive portal in between may respond in its place."
	rightsAdvice   = `The credentials work, but the client lacks the rights for this API. Check in the eTrusted Control Centre (Settings > "SSO Client Management") whether it is the right client, and ask your company's eTrusted administrator to grant it the rights and channels that it needs.`
	rejectedAdvice = "The login server has just issued this token, so it is probably meant for another API. Check ETRUSTED_AUDIENCE, and that ETRUSTED_TOKEN_URL and ETRUSTED_API_URL belong together."
	downAdvice     = "The fault is on eTrusted's side. If it lasts, check the eTrusted status page."
)

// describeChannels interprets a response. It looks for HTML before the status: eTrusted's 401 and 403 have no body, so an
// HTML page with one of them comes from a firewall.
func (c *checker) describeChannels(code int, isHTML bool, body []byte, report *AccountReport) Step {
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	wrongServer := c.API.wrongServerCause()
	switch {
	case code >= 500:
		return failed(c.API.Cause, "the API returned "+status, downAdvice)
	case isHTML:
		return failed(wrongServer, "another server answered in the API's place ("+status+"): the response is HTML", wrongURLAdvice)
	case code == http.StatusUnauthorized:
		return failed(CauseConfiguration, "the API rejected the token ("+status+")", rejectedAdvice)
	case code == http.StatusForbidden:
		return failed(CauseRights, "the client lacks the rights: the API returned "+status, rightsAdvice)
	case code == http.StatusTooManyRequests:
		return failed(c.API.Cause, "too many requests: the API returned "+status, "Wait, and find the app that sends so many: eTrusted reviews accounts with an abnormal volume.")
	case code == http.StatusNotFound:
		return failed(wrongServer, "wrong URL: the server has no /channels ("+status+")", wrongURLAdvice)
	case code >= 300 && code < 400:
		return failed(wrongServer, "wrong URL: the response is a redirect ("+status+"), which is never followed, because it would send the token to another address", wrongURLAdvice)
	case code != http.StatusOK:
		return failed(c.API.Cause, "unexpected response from the API: "+status, "The API is not known to respond like this. "+wrongURLAdvice)
	}
	count, ok := countChannels(body)
	switch {
	case ok:
		report.Channels = &count
		return passed(fmt.Sprintf("200 OK, channels: %d", count), c.channelWarnings(count)...)
	case len(body) == maxChannelsBody:
		return passed("200 OK, too many channels to count", c.channelWarnings(maxChannelsBody)...)
	default:
		return failed(wrongServer, "another server answered in the API's place (200 OK): the response is not a list of channels", wrongURLAdvice)
	}
}

// channelWarnings lists what is unusual about a successful response.
func (c *checker) channelWarnings(channels int) []string {
	var warnings []string
	if channels == 0 {
		warnings = append(warnings, "the client sees no channels: ask your company's eTrusted administrator to grant it some")
	}
	if skew := c.api.skew; skew != nil && isTooLarge(*skew) {
		warnings = append(warnings, fmt.Sprintf("the API's clock and this machine's differ by %v", skew.Abs().Round(time.Second)))
	}
	return warnings
}

// countChannels counts the entries of a list, or of a page that contains one. It reports false if the body is neither.
func countChannels(body []byte) (int, bool) {
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && list != nil {
		return len(list), true
	}
	var page struct {
		Items *[]json.RawMessage `json:"items"`
	}
	if json.Unmarshal(body, &page) != nil || page.Items == nil {
		return 0, false
	}
	return len(*page.Items), true
}
