package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const tokenPath = "/oauth/token"

// ServeHTTP does as little as an API can.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == tokenPath {
		s.tokens.ServeHTTP(w, r)
		return
	}
	authorization := r.Header["Authorization"]
	if len(authorization) != 1 || !s.tokens.valid(authorization[0]) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.URL.Path {
	case "/reviews":
		answer(w, s.page)
	case Export:
		answer(w, s.export)
	case Events:
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(w, taken)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

var taken = []byte(`{"Message":"event created"}`)

func answer(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = w.Write(body) // who does not read it has its own reasons
}

// pageSize is that of the page of reviews: 1 kB of JSON is what most of the API's answers are.
const pageSize = 1024

// page is a page of reviews as the API sends it, with its two links.
func page(url string) []byte {
	const form = `{"paging":{"count":2,"cursor":{"before":"cmV2LTE","after":"cmV2LTI"},"links":{"previous":"%[1]s/reviews?count=2&before=cmV2LTE","next":"%[1]s/reviews?count=2&after=cmV2LTI"}},"totalElements":250,"items":[` +
		`{"id":"rev-5f0c7a52-70cb-4d3c-a1a5-0d9a4d5f3b11","type":"SERVICE_REVIEW","status":"APPROVED","rating":5,"title":"Fast","createdAt":"2026-10-01T08:00:00Z","channel":{"id":"chl-b1f0a0a4-61b5-4b6f-8c51-6c1f5a1f3c77","name":"Shop"},"comment":"Delivered within two days and packed with care."},` +
		`{"id":"rev-0a6d3a0f-1c1e-4f1e-9d6f-3f0cf4a4bd25","type":"SERVICE_REVIEW","status":"APPROVED","rating":4,"title":"Good","createdAt":"2026-09-30T17:12:45Z","channel":{"id":"chl-b1f0a0a4-61b5-4b6f-8c51-6c1f5a1f3c77","name":"Shop"},"comment":"%[2]s"}]}`
	missing := pageSize - len(fmt.Sprintf(form, url, ""))
	return fmt.Appendf(nil, form, url, strings.Repeat("Well made. ", 1+missing/11)[:missing])
}

// exportSize is that of the large answer.
const exportSize = 1 << 20

// export is an array of pages, and white space up to the size.
func export(url string) []byte {
	body := []byte{'['}
	one := page(url)
	for len(body)+len(one)+2 <= exportSize {
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, one...)
	}
	for len(body) < exportSize-1 {
		body = append(body, ' ')
	}
	return append(body, ']')
}
