package fakeetrusted

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
)

// serveAPI handles a request to the API.
func (s *Server) serveAPI(rw http.ResponseWriter, r *http.Request, sw settings) {
	entry := s.log.apiArrived(r)
	w := &statusWriter{ResponseWriter: rw, report: func(status int) {
		s.log.api.complete(func() { entry.Status = status })
	}}
	body, err := readBody(w, r, maxBody)
	s.log.apiBody(entry, body, r.Trailer)
	if err != nil {
		answerUnreadableBody(w, err)
		return
	}
	sleep(r.Context(), sw.apiDelay)
	switch {
	case sw.apiFault != nil:
		sw.apiFault.ServeHTTP(w, r)
	case !s.authorized(r):
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized) // without a body, like eTrusted
	default:
		s.shop.serve(w, r, body)
	}
	w.final(http.StatusOK)
}

// authorized reports whether there is exactly one Authorization header, with a valid token. Two headers would mean that
// the broker forwarded the app's own.
func (s *Server) authorized(r *http.Request) bool {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return false
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	return ok && s.tokens.valid(token)
}

// serve routes an authorized request. It does not use ServeMux, which redirects unclean paths, as eTrusted does not. It
// routes by the path as sent: an encoded slash is not a separator.
func (s *shop) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	pattern, id := pathPattern(r.URL.EscapedPath())
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http omits the body
	}
	switch method + " " + pattern {
	case "GET /channels", "GET /channels/": // eTrusted's own examples use the slash
		answerDocument(w, r, http.StatusOK, s.channelsDocument)
	case "GET /channels/{id}/service-reviews/aggregate-rating":
		s.getAggregateRating(w, r, id)
	case "GET /channels/{id}/invites":
		s.getInvites(w, r, id)
	case "GET /reviews":
		s.getReviews(w, r)
	case "GET /reviews/{id}":
		s.getReview(w, r, id)
	case "POST /reviews/{id}/vetos":
		s.postVeto(w, r, id, body)
	case "GET /event-types":
		s.getEventTypes(w, r)
	case "PUT /event-types/{id}":
		s.putEventType(w, r, id, body)
	case "POST /events":
		s.postEvent(w, r, body)
	case "GET /invite-rules":
		s.getInviteRules(w, r)
	case "POST /invite-rules":
		s.postInviteRule(w, r, body)
	case "PUT /invite-rules/{id}":
		s.putInviteRule(w, r, id, body)
	case "DELETE /invite-rules/{id}":
		s.deleteInviteRule(w, id)
	case "POST /invites":
		s.postInvites(w, r, body)
	case "POST /questionnaire-links":
		s.postQuestionnaireLink(w, r, body)
	default:
		answerError(w, http.StatusNotFound, "there is no such resource")
	}
}

// pathPattern splits "/a/x/b/c" into "/a/{id}/b/c" and "x".
func pathPattern(path string) (pattern, id string) {
	first, rest, nested := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !nested || rest == "" {
		return path, ""
	}
	id, rest, nested = strings.Cut(rest, "/")
	pattern = "/" + first + "/{id}"
	if nested {
		pattern += "/" + rest
	}
	return pattern, id
}

// document is encoded JSON with its entity tag.
type document struct {
	body []byte
	etag string
}

// newDocument encodes and tags v.
func newDocument(v any) document { return withETag(encode(v)) }

// withETag returns a body with an entity tag made from its content.
func withETag(body []byte) document {
	sum := fnv.New64a()
	_, _ = sum.Write(body)
	return document{body: body, etag: `"` + strconv.FormatUint(sum.Sum64(), 16) + `"`}
}

// encode returns v as JSON, and panics if it cannot be encoded. Like most encoders, it does not escape characters such
// as &.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// answerJSON sends v.
func answerJSON(w http.ResponseWriter, r *http.Request, code int, v any) {
	answerDocument(w, r, code, newDocument(v))
}

// answerDocument sends d with its ETag, or 304 if the client already has it.
func answerDocument(w http.ResponseWriter, r *http.Request, code int, d document) {
	h := w.Header()
	h.Set("ETag", d.etag)
	if code == http.StatusOK && (r.Method == http.MethodGet || r.Method == http.MethodHead) && etagMatches(r, d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(d.body))) // explicit, so that a HEAD and a long answer have it too
	w.WriteHeader(code)
	_, _ = w.Write(d.body)
}

// etagMatches compares If-None-Match weakly, as RFC 9110, section 13.1.2 says.
func etagMatches(r *http.Request, etag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}

// answerError sends an error in the API's format: plain JSON, unlike the broker's problem+json.
func answerError(w http.ResponseWriter, code int, message string) {
	body := encode(struct {
		Status  int    `json:"status"`
		Error   string `json:"error"`
		Message string `json:"message"`
	}{code, http.StatusText(code), message})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// decode reads a JSON object from a body, or answers 400.
func decode(w http.ResponseWriter, body []byte, v any) bool {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' || json.Unmarshal(body, v) != nil {
		answerError(w, http.StatusBadRequest, "the body must be a JSON object of the documented form")
		return false
	}
	return true
}
