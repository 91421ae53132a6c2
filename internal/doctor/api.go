package doctor

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

// maxAnswer bounds the list of channels. A channel has some hundred bytes.
const maxAnswer = 4 << 20

// answer is what the API said. Nothing of it is shown but its status.
type answer struct {
	status int
	isHTML bool
	body   []byte
	clock  *reading
}

// ask makes the one harmless request. A redirect is not followed: it would carry the token to another host.
func (v *visit) ask(ctx context.Context, target, authorization string) (answer, finding) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil { // of a URL that has been parsed before
		return answer{}, finding{text: "the request could not be made", fault: Configuration, advice: "Check ETRUSTED_API_URL."}
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", v.UserAgent)
	response, err := v.api.RoundTrip(request)
	if err != nil {
		return answer{}, v.silent(err)
	}
	defer func() { _ = response.Body.Close() }() // one question, one answer
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, v.silent(err)
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	isHTML := kind == "text/html" || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	return answer{response.StatusCode, isHTML, body, v.api.reading()}, finding{}
}

// silent puts into words that no answer came, or not a whole one.
func (v *visit) silent(err error) finding {
	explained := neterr.Describe("the API", err)
	return finding{text: explained.Detail, fault: v.API.Fault, advice: explained.Hint}
}

const (
	wrongURLAdvice = "Check ETRUSTED_API_URL: it should be https://api.etrusted.com, and nothing between here and there (a proxy, a captive portal) should answer in its place."
	rightsAdvice   = `The credentials are good, but the client does not have the rights for this API. Look in the eTrusted Control Centre under Settings > "SSO Client Management" whether it is the right client, and ask your company's eTrusted administrator to give it the rights (and the channels) that it needs.`
	refusedAdvice  = "The login server has given that token a moment ago, so it is most likely meant for another API: check ETRUSTED_AUDIENCE, and that ETRUSTED_TOKEN_URL and ETRUSTED_API_URL belong together."
	awayAdvice     = "There is nothing to be done here. If it lasts, check the status page of eTrusted."
)

// channels tells what an answer means. That something else than the API has answered is looked at before its status:
// eTrusted's 401 and 403 come without a body, and an HTML page with one of them is a firewall's.
func (v *visit) channels(a answer, report *AccountReport) finding {
	status := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	elsewhere := route{server: v.API}.addressFault()
	switch {
	case a.status >= 500:
		return finding{text: "the API is down: it answered " + status, fault: v.API.Fault, advice: awayAdvice}
	case a.isHTML:
		return finding{text: "it is not the API that answered " + status + ": HTML came back", fault: elsewhere, advice: wrongURLAdvice}
	case a.status == http.StatusUnauthorized:
		return finding{text: "the API refused the token (" + status + ")", fault: Configuration, advice: refusedAdvice}
	case a.status == http.StatusForbidden:
		return finding{text: "the client lacks the rights: the API answered " + status, fault: Rights, advice: rightsAdvice}
	case a.status == http.StatusTooManyRequests:
		return finding{text: "the API has had too many requests: it answered " + status, fault: v.API.Fault, advice: "Wait, and look which app sends so many: eTrusted reviews accounts with an abnormal volume."}
	case a.status == http.StatusNotFound:
		return finding{text: "the address is wrong: it knows no /channels (" + status + ")", fault: elsewhere, advice: wrongURLAdvice}
	case a.status >= 300 && a.status < 400:
		return finding{text: "the address is wrong: it answered with a redirect (" + status + "), which is not followed, since it would carry the token to another address", fault: elsewhere, advice: wrongURLAdvice}
	case a.status != http.StatusOK:
		return finding{text: "the API answered " + status, fault: v.API.Fault, advice: "That is not among the answers that it is known to give. " + wrongURLAdvice}
	}
	count, ok := countChannels(a.body)
	switch {
	case ok:
		report.Channels = &count
		return finding{text: fmt.Sprintf("200 OK, channels: %d", count), warnings: v.oddities(a, count)}
	case len(a.body) == maxAnswer:
		return finding{text: "200 OK, and more channels than were read", warnings: v.oddities(a, maxAnswer)}
	default:
		return finding{text: "it is not the API that answered 200 OK: what came back is no list of channels", fault: elsewhere, advice: wrongURLAdvice}
	}
}

// oddities are what is strange about a good answer.
func (v *visit) oddities(a answer, channels int) []string {
	var odd []string
	if channels == 0 {
		odd = append(odd, "the client sees no channel: ask your company's eTrusted administrator which it should see")
	}
	if a.clock != nil && a.clock.isWrong() {
		odd = append(odd, fmt.Sprintf("the API's clock and this machine's are %v apart", a.clock.ahead.Abs().Round(time.Second)))
	}
	return odd
}

// countChannels counts a list, or a page that has one. It reports false if the body is neither.
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
