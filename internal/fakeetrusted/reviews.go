package fakeetrusted

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPage = 10
	maxPage     = 100
)

// listing is a page in the documented format.
type listing struct {
	Paging        paging `json:"paging"`
	TotalElements int    `json:"totalElements"` // of all pages, after filtering
	items         [][]byte
}

// document joins the encoded items to the rest. With encoding/json, encoding them again took most of the time of a
// request.
func (l listing) document() document {
	body := bytes.TrimSuffix(encode(l), []byte("}"))
	body = append(body, `,"items":[`...)
	body = append(body, bytes.Join(l.items, []byte(","))...)
	return withETag(append(body, "]}"...))
}

type paging struct {
	Count  int    `json:"count"` // the items on this page
	Cursor cursor `json:"cursor"`
	Links  links  `json:"links"`
}

// cursor contains the ends of the page: earlier items are newer than Before, later ones older than After.
type cursor struct {
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// links are absolute URLs of the neighbouring pages; empty at either end of the list.
type links struct {
	Previous string `json:"previous,omitempty"`
	Next     string `json:"next,omitempty"`
}

// encodedItem is an item of a list: newest first, and never more than a few dozen.
type encodedItem struct {
	id   string
	json []byte
}

// paginate returns the page selected by the request's count, after and before, of the items for which keep returns
// true. A cursor may name an item that is filtered out.
func paginate(r *http.Request, query url.Values, all []encodedItem, keep func(i int) bool) (listing, error) {
	size := defaultPage
	if text := query.Get("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return listing{}, errors.New("count must be a number from 1 to " + strconv.Itoa(maxPage))
		}
		size = n
	}
	after, err := cursorIndex(query, "after", all, -1)
	if err != nil {
		return listing{}, err
	}
	before, err := cursorIndex(query, "before", all, len(all))
	if err != nil {
		return listing{}, err
	}
	var kept, window []int
	for i := range all {
		if keep(i) {
			kept = append(kept, i)
			if i > after && i < before {
				window = append(window, i)
			}
		}
	}
	if len(window) > size {
		if query.Has("before") && !query.Has("after") { // going backwards: the page that ends at the cursor
			window = window[len(window)-size:]
		} else {
			window = window[:size]
		}
	}
	page := listing{TotalElements: len(kept)}
	for _, i := range window {
		page.items = append(page.items, all[i].json)
	}
	page.Paging.Count = len(window)
	if len(window) > 0 {
		first, last := window[0], window[len(window)-1]
		page.Paging.Cursor = cursor{Before: all[first].id, After: all[last].id}
		if kept[0] < first {
			page.Paging.Links.Previous = pageURL(r, query, "before", all[first].id)
		}
		if kept[len(kept)-1] > last {
			page.Paging.Links.Next = pageURL(r, query, "after", all[last].id)
		}
	}
	return page, nil
}

// cursorIndex returns the index of the item that a cursor names, or none if there is no cursor.
func cursorIndex(query url.Values, name string, all []encodedItem, none int) (int, error) {
	id := query.Get(name)
	if id == "" {
		return none, nil
	}
	i := slices.IndexFunc(all, func(l encodedItem) bool { return l.id == id })
	if i < 0 {
		return 0, errors.New(name + " names nothing in this list")
	}
	return i, nil
}

// pageURL returns the request's URL, as the client sent it, with another cursor.
func pageURL(r *http.Request, query url.Values, name, id string) string {
	next := url.Values{}
	for k, v := range query {
		if k != "after" && k != "before" {
			next[k] = v
		}
	}
	next.Set(name, id)
	u := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: next.Encode()}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// getReviews answers GET /reviews.
func (s *shop) getReviews(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	keep, err := s.reviewFilter(query)
	if err != nil {
		answerError(w, http.StatusBadRequest, err.Error())
		return
	}
	page, err := paginate(r, query, s.reviewList, keep)
	if err != nil {
		answerError(w, http.StatusBadRequest, err.Error())
		return
	}
	answerDocument(w, r, http.StatusOK, page.document())
}

// reviewFilter reads channels, rating, submittedAfter and submittedBefore; other parameters are ignored. An unknown
// channel has no reviews.
func (s *shop) reviewFilter(query url.Values) (func(i int) bool, error) {
	channels := splitList(query["channels"])
	ratings := splitList(query["rating"])
	for _, rating := range ratings {
		if n, err := strconv.Atoi(rating); err != nil || n < 1 || n > 5 {
			return nil, errors.New("rating must be numbers from 1 to 5")
		}
	}
	var since, until time.Time
	for name, t := range map[string]*time.Time{"submittedAfter": &since, "submittedBefore": &until} {
		if text := query.Get(name); text != "" {
			var err error
			if *t, err = time.Parse(time.RFC3339, text); err != nil {
				return nil, errors.New(name + " must be a time as in RFC 3339")
			}
		}
	}
	return func(i int) bool {
		v := &s.reviews[i]
		return (len(channels) == 0 || slices.Contains(channels, v.ChannelRef)) &&
			(len(ratings) == 0 || slices.Contains(ratings, strconv.Itoa(v.Rating))) &&
			(since.IsZero() || v.submitted.After(since)) &&
			(until.IsZero() || v.submitted.Before(until))
	}, nil
}

// splitList returns a list given as one parameter with commas or as several parameters.
func splitList(values []string) []string {
	var out []string
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// getReview answers GET /reviews/{id}.
func (s *shop) getReview(w http.ResponseWriter, r *http.Request, id string) {
	i, ok := s.reviewIndex[id]
	if !ok {
		answerError(w, http.StatusNotFound, "there is no such review")
		return
	}
	answerDocument(w, r, http.StatusOK, withETag(s.reviewList[i].json))
}

// getAggregateRating answers GET /channels/{id}/service-reviews/aggregate-rating.
func (s *shop) getAggregateRating(w http.ResponseWriter, r *http.Request, id string) {
	d, ok := s.ratings[id]
	if !ok {
		answerError(w, http.StatusNotFound, "there is no such channel")
		return
	}
	answerDocument(w, r, http.StatusOK, d)
}

// postVeto answers POST /reviews/{id}/vetos. It acknowledges the veto and does not store it.
func (s *shop) postVeto(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	if _, ok := s.reviewIndex[id]; !ok {
		answerError(w, http.StatusNotFound, "there is no such review")
		return
	}
	var veto struct {
		ID        string `json:"id"`
		TicketID  string `json:"ticketId"`
		Comment   string `json:"comment"`
		Reason    string `json:"reason"`
		CreatedAt string `json:"createdAt"`
		UpdatedAt string `json:"updatedAt"`
	}
	if !decode(w, body, &veto) {
		return
	}
	switch veto.Reason {
	case "UNTRUTHFUL", "ABUSIVE", "VIOLATES_THE_TERMS_OF_USE", "INAPPROPRIATE_IMAGE":
	default:
		answerError(w, http.StatusBadRequest, "reason must be one of those documented, such as UNTRUTHFUL")
		return
	}
	now := timestamp(time.Now())
	veto.ID, veto.TicketID, veto.CreatedAt, veto.UpdatedAt = "vet-"+randomUUID(), "tic-"+randomUUID(), now, now
	answerJSON(w, r, http.StatusCreated, veto)
}
