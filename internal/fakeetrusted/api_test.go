package fakeetrusted

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestAuthorization(t *testing.T) {
	s := New(Options{})
	token := fetch(t, s).AccessToken
	for name, values := range map[string][]string{
		"none":         nil,
		"empty":        {""},
		"unknown":      {"Bearer " + token + "x"},
		"other scheme": {"Basic " + token},
		"no scheme":    {token},
		"two":          {"Bearer " + token, "Bearer " + token},
		"two, one bad": {"Bearer " + token, "Bearer stand-in"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/channels", "/nowhere"} {
				resp := do(t, s, "GET", path, "", http.Header{"Authorization": values})
				wantStatus(t, resp, http.StatusUnauthorized)
				if resp.body != "" || resp.header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("body %q, header %v", resp.body, resp.header)
				}
			}
		})
	}
}

func TestChannels(t *testing.T) {
	s := New(Options{})
	resp := call(t, s, "GET", "/channels", "")
	etag := resp.header.Get("ETag")
	if !strings.HasPrefix(etag, `"`) {
		t.Errorf("ETag %q", etag)
	}
	var channels []channel
	decodeAnswer(t, resp, http.StatusOK, &channels)
	if len(channels) != 3 {
		t.Fatalf("got %d channels, want 3", len(channels))
	}
	shape := regexp.MustCompile(`^chl-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for _, c := range channels {
		if !shape.MatchString(c.ID) || c.Name == "" || c.AccountRef == "" {
			t.Errorf("got %+v, want an ID, a name and an account", c)
		}
	}
	wantStatus(t, call(t, s, "GET", "/channels/", ""), http.StatusOK)

	head := call(t, s, "HEAD", "/channels", "")
	if head.status != 200 || head.header.Get("Content-Length") != resp.header.Get("Content-Length") || head.header.Get("ETag") != etag {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}

	token := fetch(t, s).AccessToken
	for condition, want := range map[string]int{
		etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, "": 200,
	} {
		h := bearer(token)
		h.Set("If-None-Match", condition)
		resp := do(t, s, "GET", "/channels", "", h)
		if resp.status != want || resp.header.Get("ETag") != etag || (want == 304) != (resp.body == "") {
			t.Errorf("If-None-Match %s: %d %v %q", condition, resp.status, resp.header, resp.body)
		}
	}
}

func TestSampleDataIsStable(t *testing.T) {
	a, b := newShop(), newShop()
	if a.channelsDocument.etag != b.channelsDocument.etag {
		t.Error("channels differ")
	}
	for i := range a.reviewList {
		if string(a.reviewList[i].json) != string(b.reviewList[i].json) {
			t.Fatalf("review %d differs", i)
		}
	}
	for id := range a.ratings {
		if a.ratings[id].etag != b.ratings[id].etag {
			t.Error("ratings differ")
		}
	}
}

func TestAggregateRating(t *testing.T) {
	s := New(Options{})
	total := 0
	for _, c := range s.shop.channels {
		var got map[string]rating
		decodeAnswer(t, call(t, s, "GET", "/channels/"+c.ID+"/service-reviews/aggregate-rating", ""), 200, &got)
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, []string{"30days", "365days", "7days", "90days", "overall"}) {
			t.Errorf("periods %v", keys)
		}
		sum := 0
		for _, n := range got["overall"].Distribution {
			sum += n
		}
		if got["overall"].Count != sum || got["overall"].Rating < 1 || got["overall"].Rating > 5 || got["7days"].Count > got["30days"].Count {
			t.Errorf("got %+v, want the sum of the ratings, and fewer in 7 than in 30 days", got)
		}
		total += sum
	}
	if total != len(s.shop.reviews) {
		t.Errorf("got %d ratings of %d reviews", total, len(s.shop.reviews))
	}
	wantJSON404(t, call(t, s, "GET", "/channels/chl-unknown/service-reviews/aggregate-rating", ""))
}

func wantJSON404(t *testing.T, resp answer) {
	t.Helper()
	var got struct{ Status int }
	decodeAnswer(t, resp, http.StatusNotFound, &got)
	if got.Status != 404 {
		t.Errorf("got %+v, want status 404", got)
	}
}

// rawPage is a page as a stranger to this package would read it.
type rawPage struct {
	Paging struct {
		Count  int
		Cursor map[string]string
		Links  map[string]string
	}
	TotalElements int
	Items         []review
}

func getPage(t *testing.T, s *Server, target string) rawPage {
	t.Helper()
	var p rawPage
	decodeAnswer(t, call(t, s, "GET", target, ""), http.StatusOK, &p)
	if p.Paging.Count != len(p.Items) {
		t.Errorf("%s: got count %d and %d items, want equal", target, p.Paging.Count, len(p.Items))
	}
	return p
}

func ids(p rawPage) []string {
	var out []string
	for _, v := range p.Items {
		out = append(out, v.ID)
	}
	return out
}

func TestReviewsShape(t *testing.T) {
	s := New(Options{})
	resp := call(t, s, "GET", "/reviews?count=2", "")
	var got map[string]json.RawMessage
	decodeAnswer(t, resp, 200, &got)
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, []string{"items", "paging", "totalElements"}) {
		t.Errorf("keys %v", keys)
	}
	first, last := s.shop.reviews[0].ID, s.shop.reviews[1].ID
	want := fmt.Sprintf(`{"count":2,"cursor":{"before":"%s","after":"%s"},"links":{"next":"http://example.com/reviews?after=%s&count=2"}}`, first, last, last)
	if string(got["paging"]) != want {
		t.Errorf("paging\n%s, want\n%s", got["paging"], want)
	}
}

func TestReviewsPaging(t *testing.T) {
	s := New(Options{})
	all := ids(getPage(t, s, "/reviews?count=100"))
	if len(all) != 60 || len(all) != len(s.shop.reviews) {
		t.Fatalf("got %d reviews, want 60", len(all))
	}
	for _, query := range []string{"", "?count=7", "?count=59", "?count=60", "?rating=5,4&count=3", "?rating=5&rating=1",
		"?channels=" + s.shop.channels[1].ID, "?count=1&channels=" + s.shop.channels[0].ID + "," + s.shop.channels[2].ID} {
		t.Run(query, func(t *testing.T) {
			// Follow the links to the end and back.
			var forwards, backwards []string
			p := getPage(t, s, "/reviews"+query)
			if _, ok := p.Paging.Links["previous"]; ok {
				t.Error("the first page has a previous one")
			}
			total := p.TotalElements
			for {
				forwards = append(forwards, ids(p)...)
				next, ok := p.Paging.Links["next"]
				if !ok {
					break
				}
				p = getPage(t, s, next)
				if p.TotalElements != total {
					t.Errorf("totalElements %d, then %d", total, p.TotalElements)
				}
			}
			if len(forwards) != total {
				t.Errorf("got %d reviews, totalElements %d", len(forwards), total)
			}
			for {
				backwards = append(ids(p), backwards...)
				previous, ok := p.Paging.Links["previous"]
				if !ok {
					break
				}
				p = getPage(t, s, previous)
			}
			if !slices.Equal(forwards, backwards) {
				t.Error("backwards the reviews are others than forwards")
			}
		})
	}
}

func TestReviewsFilters(t *testing.T) {
	s := New(Options{})
	byRating := getPage(t, s, "/reviews?count=100&rating=1,2")
	if len(byRating.Items) == 0 {
		t.Error("no bad reviews")
	}
	for _, v := range byRating.Items {
		if v.Rating > 2 {
			t.Errorf("rating %d", v.Rating)
		}
	}
	at := s.shop.channels[1].ID
	byChannel := getPage(t, s, "/reviews?count=100&channels="+at)
	if len(byChannel.Items) != reviewsPerChannel[1] {
		t.Errorf("got %d reviews of one channel", len(byChannel.Items))
	}
	for _, v := range byChannel.Items {
		if v.ChannelRef != at {
			t.Errorf("channel %s", v.ChannelRef)
		}
	}
	// The cursor is a review of any channel.
	cursor := s.shop.reviews[20].ID
	older := getPage(t, s, "/reviews?count=100&channels="+at+"&after="+cursor)
	newer := getPage(t, s, "/reviews?count=100&channels="+at+"&before="+cursor)
	if n := len(older.Items) + len(newer.Items); n < reviewsPerChannel[1]-1 {
		t.Errorf("got %d reviews on both sides", n)
	}
	both := getPage(t, s, "/reviews?count=2&after="+s.shop.reviews[3].ID+"&before="+s.shop.reviews[7].ID)
	if !slices.Equal(ids(both), []string{s.shop.reviews[4].ID, s.shop.reviews[5].ID}) {
		t.Errorf("between two cursors: %v", ids(both))
	}
	bounds := url.Values{"submittedAfter": {s.shop.reviews[9].SubmittedAt}, "submittedBefore": {s.shop.reviews[4].SubmittedAt}}
	if got := getPage(t, s, "/reviews?"+bounds.Encode()); got.TotalElements != 4 {
		t.Errorf("got %d reviews between two times, want 4", got.TotalElements)
	}
	none := getPage(t, s, "/reviews?channels=chl-unknown")
	if none.TotalElements != 0 || none.Items == nil || len(none.Paging.Links)+len(none.Paging.Cursor) != 0 {
		t.Errorf("got %+v, want an empty page without links", none)
	}
	for _, query := range []string{"count=0", "count=101", "count=x", "rating=6", "rating=good", "after=rev-unknown", "before=x", "submittedAfter=today"} {
		wantStatus(t, call(t, s, "GET", "/reviews?"+query, ""), http.StatusBadRequest)
	}
}

func TestLinksUseRequestHost(t *testing.T) {
	s := New(Options{})
	r := httptest.NewRequest("GET", "/reviews?x=a%26b&count=3", nil)
	r.Header = bearer(fetch(t, s).AccessToken)
	r.Host = "api.example.net:8443"
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	want := "https://api.example.net:8443/reviews?after=" + s.shop.reviews[2].ID + "&count=3&x=a%26b"
	if !strings.Contains(w.Body.String(), `"next":"`+want+`"`) {
		t.Errorf("want %s in %s", want, w.Body)
	}
}

func TestReview(t *testing.T) {
	s := New(Options{})
	want := s.shop.reviews[11]
	var got review
	decodeAnswer(t, call(t, s, "GET", "/reviews/"+want.ID, ""), 200, &got)
	if got.ID != want.ID || got.Comment != want.Comment || !strings.HasPrefix(got.ID, "rev-") {
		t.Errorf("got %+v, want the requested review", got)
	}
	wantJSON404(t, call(t, s, "GET", "/reviews/rev-unknown", ""))

	veto := `{"reason":"UNTRUTHFUL","comment":"no such order"}`
	var made map[string]string
	decodeAnswer(t, call(t, s, "POST", "/reviews/"+want.ID+"/vetos", veto), 201, &made)
	if made["id"] == "" || made["ticketId"] == "" || made["comment"] != "no such order" {
		t.Errorf("got %v, want an id, a ticketId and the comment", made)
	}
	wantJSON404(t, call(t, s, "POST", "/reviews/rev-unknown/vetos", veto))
	wantStatus(t, call(t, s, "POST", "/reviews/"+want.ID+"/vetos", `{"reason":"dislike"}`), 400)
	wantStatus(t, call(t, s, "POST", "/reviews/"+want.ID+"/vetos", `[]`), 400)
}

func TestEventTypes(t *testing.T) {
	s := New(Options{})
	var before, after []eventType
	decodeAnswer(t, call(t, s, "GET", "/event-types", ""), 200, &before)
	last := before[len(before)-1]
	if !strings.HasPrefix(last.ID, "ety-") || last.Active {
		t.Fatalf("got %+v, want an inactive event type", last)
	}
	var changed eventType
	decodeAnswer(t, call(t, s, "PUT", "/event-types/"+last.ID, `{"active":true}`), 200, &changed)
	if !changed.Active || changed.Name != last.Name {
		t.Errorf("got %+v, want active, with the same name", changed)
	}
	wantStatus(t, call(t, s, "PUT", "/event-types/"+last.ID, `{"name":"`+strings.Repeat("ü", 1000)+`"}`), 200)
	decodeAnswer(t, call(t, s, "GET", "/event-types", ""), 200, &after)
	if got := after[len(after)-1]; !got.Active || got.Name != strings.Repeat("ü", maxTextLen/2) {
		t.Errorf("got %+v, want active, with a truncated name", got)
	}
	wantJSON404(t, call(t, s, "PUT", "/event-types/ety-unknown", `{}`))
	wantStatus(t, call(t, s, "PUT", "/event-types/"+last.ID, ``), 400)
}

func TestEvents(t *testing.T) {
	s := New(Options{})
	var got map[string]string
	long := `{"type":"checkout","note":"` + strings.Repeat("x", 3<<20) + `"}`
	decodeAnswer(t, call(t, s, "POST", "/events", long), 201, &got)
	if !strings.HasPrefix(got["id"], "evt-") || got["EventRef"] != got["id"] {
		t.Errorf("got %v, want an id and the same EventRef", got)
	}
	for _, body := range []string{"", "{", "type=checkout", "{} {}"} {
		wantStatus(t, call(t, s, "POST", "/events", body), 400)
	}
}

func TestInviteRules(t *testing.T) {
	s := New(Options{})
	rules := func() (out []inviteRule) {
		var groups []struct {
			ID    string
			Rules []inviteRule
		}
		decodeAnswer(t, call(t, s, "GET", "/invite-rules", ""), 200, &groups)
		for _, g := range groups {
			for _, rule := range g.Rules {
				if rule.EventTypeRef != g.ID {
					t.Errorf("got rule %+v in the group %s", rule, g.ID)
				}
				out = append(out, rule)
			}
		}
		return out
	}
	if got := rules(); len(got) != 1 || !strings.HasPrefix(got[0].ID, "irl-") {
		t.Fatalf("got %+v, want one rule", got)
	}
	var made, changed inviteRule
	body := `{"name":"new","eventTypeRef":"` + s.shop.eventTypes[1].ID + `","sendingDelay":"P3D","active":true}`
	decodeAnswer(t, call(t, s, "POST", "/invite-rules", body), 201, &made)
	if made.Name != "new" || made.SendingDelay != "P3D" || !made.Active || made.EventTypeRef != s.shop.eventTypes[1].ID {
		t.Errorf("got %+v, want the fields of the request", made)
	}
	decodeAnswer(t, call(t, s, "PUT", "/invite-rules/"+made.ID, `{"active":false}`), 200, &changed)
	if changed.Active || changed.Name != "new" {
		t.Errorf("got %+v, want inactive, with the new name", changed)
	}
	wantStatus(t, call(t, s, "PUT", "/invite-rules/"+made.ID, `{"name":"lost","eventTypeRef":"ety-unknown"}`), 400)
	wantStatus(t, call(t, s, "PUT", "/invite-rules/"+made.ID, `no`), 400)
	if got := rules(); len(got) != 2 || got[1].Name != "new" || got[1].Active {
		t.Errorf("got %+v, want two rules, the second changed", got)
	}
	resp := call(t, s, "DELETE", "/invite-rules/"+made.ID, "")
	wantStatus(t, resp, 204)
	if resp.body != "" {
		t.Errorf("got a 204 with body %q, want none", resp.body)
	}
	wantJSON404(t, call(t, s, "DELETE", "/invite-rules/"+made.ID, ""))
	wantJSON404(t, call(t, s, "PUT", "/invite-rules/"+made.ID, `{}`))
	wantStatus(t, call(t, s, "POST", "/invite-rules", `{"eventTypeRef":"ety-unknown"}`), 400)
	wantStatus(t, call(t, s, "POST", "/invite-rules", `"x"`), 400)

	for range maxRules + 5 {
		wantStatus(t, call(t, s, "POST", "/invite-rules", `{}`), 201)
	}
	if got := rules(); len(got) != maxRules {
		t.Errorf("got %d rules kept", len(got))
	}
}

func TestInvites(t *testing.T) {
	s := New(Options{})
	c := s.shop.channels[2].ID
	list := "/channels/" + c + "/invites"
	if got := getPage(t, s, list); got.TotalElements != 0 {
		t.Errorf("got %+v, want no invites", got)
	}
	body := `{"channel":{"id":"` + c + `"},"invites":[{"customer":{"email":"a@example.com"}},{"customer":{"email":"b@example.com"}}]}`
	var made struct{ Invites []invite }
	decodeAnswer(t, call(t, s, "POST", "/invites", body), 201, &made)
	if len(made.Invites) != 2 || made.Invites[1].Customer.Email != "b@example.com" {
		t.Fatalf("got %+v, want two invites with the customers of the request", made)
	}
	if got := getPage(t, s, list); !slices.Equal(ids(got), []string{made.Invites[1].ID, made.Invites[0].ID}) {
		t.Errorf("%v, want the newest first", ids(got))
	}
	for range maxInvitesPerChannel {
		wantStatus(t, call(t, s, "POST", "/invites", body), 201)
	}
	p := getPage(t, s, list)
	if p.TotalElements != maxInvitesPerChannel || p.Paging.Links["next"] == "" {
		t.Errorf("got %+v, want 100 invites and a next page", p.Paging)
	}
	if next := getPage(t, s, p.Paging.Links["next"]); len(next.Items) != defaultPage || next.Items[0].ID == p.Items[0].ID {
		t.Errorf("got %v, want the next page", ids(next))
	}
	wantStatus(t, call(t, s, "POST", "/invites", `{"invites":[{}]}`), 201) // of the first channel
	if got := getPage(t, s, "/channels/"+s.shop.channels[0].ID+"/invites"); got.TotalElements != 1 {
		t.Errorf("got %+v, want one invite", got)
	}
	wantStatus(t, call(t, s, "POST", "/invites", `{}`), 400)
	wantStatus(t, call(t, s, "POST", "/invites", `{"channel":{"id":"chl-unknown"},"invites":[{}]}`), 400)
	wantStatus(t, call(t, s, "POST", "/invites", `{"invites":[`+strings.Repeat(`{},`, maxInvites)+`{}]}`), 400)
	wantStatus(t, call(t, s, "POST", "/invites", `null`), 400)
	wantStatus(t, call(t, s, "GET", list+"?count=0", ""), 400)
	wantJSON404(t, call(t, s, "GET", "/channels/chl-unknown/invites", ""))
}

func TestQuestionnaireLinks(t *testing.T) {
	s := New(Options{})
	var got struct{ Link string }
	decodeAnswer(t, call(t, s, "POST", "/questionnaire-links", `{"type":"sales"}`), 201, &got)
	if !strings.HasPrefix(got.Link, "https://") {
		t.Errorf("got %+v, want an https link", got)
	}
	wantStatus(t, call(t, s, "POST", "/questionnaire-links", ``), 400)
}

func TestNotFound(t *testing.T) {
	s := New(Options{})
	for _, request := range []string{
		"GET /", "GET /nowhere", "POST /channels", "GET /channels//", "GET //channels", "GET /channels/../reviews",
		"GET /reviews/", "GET /reviews/x/y/z", "DELETE /reviews/x", "GET /channels%2F", "GET /oauth/token/", "PATCH /events",
	} {
		method, target, _ := strings.Cut(request, " ")
		t.Run(request, func(t *testing.T) { wantJSON404(t, call(t, s, method, target, "")) })
	}
}

func TestInvalidQueries(t *testing.T) {
	s := New(Options{})
	for _, query := range []string{"a;b", "%zz", strings.Repeat("p=1&", 10000), "channels=,,&rating=,"} {
		wantStatus(t, call(t, s, "GET", "/reviews?"+query, ""), 200)
	}
}
