package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"etrusted-broker/internal/neterr"
)

// maxChannelsBody bounds the list of channels, in bytes. A channel takes some hundred.
const maxChannelsBody = 4 << 20

// apiResponse is a response of the API. Only its status is ever shown.
type apiResponse struct {
	status int
	isHTML bool
	body   []byte
	clock  *clockSkew
}

// getChannels sends the one harmless request. It does not follow a redirect, which would send the token to another host.
func (c *accountChecks) getChannels(ctx context.Context, target, authorization string) (apiResponse, finding) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil { // of a URL that has been parsed before
		return apiResponse{}, finding{text: "the request could not be created", cause: CauseConfiguration, advice: "Check ETRUSTED_API_URL."}
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", c.UserAgent)
	response, err := c.api.RoundTrip(request)
	if err != nil {
		return apiResponse{}, c.noResponse(err)
	}
	defer func() { _ = response.Body.Close() }() // the connection is not reused
	body, err := io.ReadAll(io.LimitReader(response.Body, maxChannelsBody))
	if err != nil {
		return apiResponse{}, c.noResponse(err)
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	isHTML := kind == "text/html" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	return apiResponse{response.StatusCode, isHTML, body, c.api.skew()}, finding{}
}

// noResponse describes a missing or incomplete response.
func (c *accountChecks) noResponse(err error) finding {
	explained := neterr.Describe("the API", err)
	return finding{text: explained.Detail, cause: c.API.Cause, advice: explained.Hint}
}

const (
	wrongURLAdvice = "Check ETRUSTED_API_URL: it should be https://api.etrusted.com. No proxy or captive portal in between may respond in its place."
	rightsAdvice   = `The credentials work, but the client lacks the rights for this API. Check in the eTrusted Control Centre (Settings > "SSO Client Management") whether it is the right client, and ask your company's eTrusted administrator to grant it the rights and channels that it needs.`
	rejectedAdvice = "The login server has just issued this token, so it is probably meant for another API. Check ETRUSTED_AUDIENCE, and that ETRUSTED_TOKEN_URL and ETRUSTED_API_URL belong together."
	downAdvice     = "The fault is on eTrusted's side. If it lasts, check the eTrusted status page."
)

// describeChannels interprets a response. It looks for HTML before the status: eTrusted's 401 and 403 have no body, so an
// HTML page with one of them comes from a firewall.
func (c *accountChecks) describeChannels(response apiResponse, report *AccountReport) finding {
	status := fmt.Sprintf("%d %s", response.status, http.StatusText(response.status))
	wrongServer := route{server: c.API}.wrongServerCause()
	switch {
	case response.status >= 500:
		return finding{text: "the API returned " + status, cause: c.API.Cause, advice: downAdvice}
	case response.isHTML:
		return finding{text: "another server answered in the API's place (" + status + "): the response is HTML", cause: wrongServer, advice: wrongURLAdvice}
	case response.status == http.StatusUnauthorized:
		return finding{text: "the API rejected the token (" + status + ")", cause: CauseConfiguration, advice: rejectedAdvice}
	case response.status == http.StatusForbidden:
		return finding{text: "the client lacks the rights: the API returned " + status, cause: CauseRights, advice: rightsAdvice}
	case response.status == http.StatusTooManyRequests:
		return finding{text: "too many requests: the API returned " + status, cause: c.API.Cause, advice: "Wait, and find the app that sends so many: eTrusted reviews accounts with an abnormal volume."}
	case response.status == http.StatusNotFound:
		return finding{text: "wrong URL: the server has no /channels (" + status + ")", cause: wrongServer, advice: wrongURLAdvice}
	case response.status >= 300 && response.status < 400:
		return finding{text: "wrong URL: the response is a redirect (" + status + "), which is never followed, because it would send the token to another address", cause: wrongServer, advice: wrongURLAdvice}
	case response.status != http.StatusOK:
		return finding{text: "unexpected response from the API: " + status, cause: c.API.Cause, advice: "The API is not known to respond like this. " + wrongURLAdvice}
	}
	count, ok := countChannels(response.body)
	switch {
	case ok:
		report.Channels = &count
		return finding{text: fmt.Sprintf("200 OK, channels: %d", count), warnings: c.channelWarnings(response, count)}
	case len(response.body) == maxChannelsBody:
		return finding{text: "200 OK, too many channels to count", warnings: c.channelWarnings(response, maxChannelsBody)}
	default:
		return finding{text: "another server answered in the API's place (200 OK): the response is not a list of channels", cause: wrongServer, advice: wrongURLAdvice}
	}
}

// channelWarnings lists what is unusual about a successful response.
func (c *accountChecks) channelWarnings(response apiResponse, channels int) []string {
	var warnings []string
	if channels == 0 {
		warnings = append(warnings, "the client sees no channels: ask your company's eTrusted administrator to grant it some")
	}
	if response.clock != nil && response.clock.tooLarge() {
		warnings = append(warnings, fmt.Sprintf("the API's clock and this machine's differ by %v", response.clock.ahead.Abs().Round(time.Second)))
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
