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

// checkChannels sends the one harmless request, and describes the response. It follows no redirect, which would send the token
// to another host. Of the response, only the status is ever shown.
func (c *checker) checkChannels(ctx context.Context, account AccountToTest, authorization string, report *AccountReport) {
	target := &url.URL{Scheme: c.api.URL.Scheme, Host: c.api.URL.Host, Path: "/channels"} // the API's own URL has no path
	step := Step{Name: "GET /channels", Account: account.Name, Target: target.String()}
	if authorization == "" {
		c.api.testConnection(ctx)
		c.finishStep(step, time.Now(), Skipped("no token"))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request := &http.Request{Method: http.MethodGet, URL: target, Header: http.Header{
		"Authorization": {authorization},
		"Accept":        {"application/json"},
		"User-Agent":    {c.UserAgent},
	}}
	result := c.api.runStep(step, account, func() Step {
		response, err := c.api.RoundTrip(request.WithContext(ctx))
		var body []byte
		if err == nil {
			defer func() { _ = response.Body.Close() }() // read as far as it counts
			body, err = io.ReadAll(io.LimitReader(response.Body, maxChannelsBody))
		}
		return c.describeChannelsResponse(response, body, err, report)
	})
	if result.Cause == c.api.Cause || result.Cause == CauseNetwork {
		c.api.down = "API unavailable"
	}
}

const (
	wrongURLAdvice = "Check ETRUSTED_API_URL: it should be https://api.etrusted.com. No proxy or captive portal in between may respond in its place."
	rightsAdvice   = `The credentials work, but the client lacks the rights for this API. Check in the eTrusted Control Centre (Settings > "SSO Client Management") whether it is the right client, and ask your company's eTrusted administrator to grant it the rights and channels that it needs.`
	audienceAdvice = "The login server has just issued this token, so it is probably meant for another API. Check ETRUSTED_AUDIENCE, and that ETRUSTED_TOKEN_URL and ETRUSTED_API_URL belong together."
	apiDownAdvice  = "The fault is on eTrusted's side. If it lasts, check the eTrusted status page."
)

// describeChannelsResponse interprets a response, or the error without one. It looks for HTML before the status: eTrusted's
// 401 and 403 have no body, so an HTML page with one of them comes from a firewall.
func (c *checker) describeChannelsResponse(response *http.Response, body []byte, err error, report *AccountReport) Step {
	if err != nil {
		return failedWith(c.api.Cause, neterr.Describe("the API", err))
	}
	code := response.StatusCode
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	isHTML := kind == "text/html" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	switch {
	case code >= 500:
		return Failed(c.api.Cause, "api-errors", "the API returned "+status, apiDownAdvice)
	case isHTML:
		return Failed(c.api.OtherServer, "wrong-server", "another server answered in the API's place ("+status+"): the response is HTML", wrongURLAdvice)
	case code == http.StatusUnauthorized:
		return Failed(CauseConfiguration, "api-unauthorized", "the API rejected the token ("+status+")", audienceAdvice)
	case code == http.StatusForbidden:
		return Failed(CauseRights, "api-unauthorized", "the client lacks the rights: the API returned "+status, rightsAdvice)
	case code == http.StatusTooManyRequests:
		return Failed(c.api.Cause, "api-rate-limit", "too many requests: the API returned "+status, "Wait, and find the app that sends so many: eTrusted reviews accounts with an abnormal volume.")
	case code == http.StatusNotFound:
		return Failed(c.api.OtherServer, "wrong-server", "wrong URL: the server has no /channels ("+status+")", wrongURLAdvice)
	case code >= 300 && code < 400:
		return Failed(c.api.OtherServer, "wrong-server", "wrong URL: the response is a redirect ("+status+"), which is never followed, because it would send the token to another address", wrongURLAdvice)
	case code != http.StatusOK:
		return Failed(c.api.Cause, "api-errors", "unexpected response from the API: "+status, "The API is not known to respond like this. "+wrongURLAdvice)
	case len(body) == maxChannelsBody:
		return Passed("200 OK" + c.api.ownServerSuffix() + ", too many channels to count")
	}
	count, ok := countChannels(body)
	if !ok {
		return Failed(c.api.OtherServer, "wrong-server", "another server answered in the API's place (200 OK): the response is not a list of channels", wrongURLAdvice)
	}
	report.Channels = &count
	result := Passed(fmt.Sprintf("200 OK%s, channels: %d", c.api.ownServerSuffix(), count))
	if count == 0 {
		result.Warnings = append(result.Warnings, "the client sees no channels: ask your company's eTrusted administrator to grant it some")
	}
	if skew := c.api.skew; skew != nil && skew.Abs() > maxClockSkew {
		result.Warnings = append(result.Warnings, fmt.Sprintf("the API's clock and this machine's differ by %v", skew.Abs().Round(time.Second)))
	}
	return result
}

// countChannels counts the entries of a list, or of a page that contains one. It reports false if the body is neither.
func countChannels(body []byte) (count int, ok bool) {
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	if json.Unmarshal(body, &page.Items) != nil {
		_ = json.Unmarshal(body, &page) // without items, it is not a page
	}
	return len(page.Items), page.Items != nil
}
