package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const tokenPath = "/oauth/token"

// ServeHTTP is the API. It does as little as possible.
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
		writeJSON(w, s.page)
	case ExportPath:
		writeJSON(w, s.export)
	case EventsPath:
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		writeJSON(w, eventCreated)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

var eventCreated = []byte(`{"Message":"event created"}`)

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = w.Write(body) // fails only if the client has gone
}

// pageSize is the size of the page of reviews. Most of the API's responses are about 1 kB of JSON.
const pageSize = 1024

// pageBody returns a page of reviews as the API sends it, with its two links.
func pageBody(url string) []byte {
	const format = `{"paging":{"count":2,"cursor":{"before":"cmV2LTE","after":"cmV2LTI"},"links":{"previous":"%[1]s/reviews?count=2&before=cmV2LTE","next":"%[1]s/reviews?count=2&after=cmV2LTI"}},"totalElements":250,"items":[` +
		`{"id":"rev-5f0c7a52-70cb-4d3c-a1a5-0d9a4d5f3b11","type":"SERVICE_REVIEW","status":"APPROVED","rating":5,"title":"Fast","createdAt":"2026-10-01T08:00:00Z","channel":{"id":"chl-b1f0a0a4-61b5-4b6f-8c51-6c1f5a1f3c77","name":"Shop"},"comment":"Delivered within two days and packed with care."},` +
		`{"id":"rev-0a6d3a0f-1c1e-4f1e-9d6f-3f0cf4a4bd25","type":"SERVICE_REVIEW","status":"APPROVED","rating":4,"title":"Good","createdAt":"2026-09-30T17:12:45Z","channel":{"id":"chl-b1f0a0a4-61b5-4b6f-8c51-6c1f5a1f3c77","name":"Shop"},"comment":"%[2]s"}]}`
	padding := pageSize - len(fmt.Sprintf(format, url, ""))
	return fmt.Appendf(nil, format, url, strings.Repeat("Well made. ", 1+padding/11)[:padding])
}

// exportSize is the size of the large response.
const exportSize = 1 << 20

// exportBody returns an array of pages, padded with white space.
func exportBody(url string) []byte {
	body := []byte{'['}
	one := pageBody(url)
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
