package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// The host names that are hard-coded in an app. They are reserved (RFC 2606): an app can reach them only through the broker,
// and the broker only through its HTTPS_PROXY.
const (
	apiHost   = "api.e2e.example"
	loginHost = "login.e2e.example"
)

// reviewsServers are test servers whose API has several pages of reviews and accepts events.
type reviewsServers struct {
	*testServers
	apiHost, loginHost string
	ids                []string // of all reviews
	comments           []string
	outProxy           *connectProxy
	outProxyURL        string

	mu     sync.Mutex
	rawLog []string          // every request to the API as received, headers and body
	orders map[string]string // by the ID of their event
}

func startReviewsServers(t *testing.T) *reviewsServers {
	t.Helper()
	return startReviewsServersAs(t, apiHost, loginHost)
}

// startReviewsServersAs starts the servers with these names.
func startReviewsServersAs(t *testing.T, apiHost, loginHost string) *reviewsServers {
	t.Helper()
	r := &reviewsServers{
		testServers: &testServers{ca: newTestCA(t, apiHost, loginHost)}, apiHost: apiHost, loginHost: loginHost, orders: map[string]string{},
	}
	r.login = startLoginServer(t, r.ca, r.newSecret(), time.Hour)
	r.api = startAPI(t, r.ca, r.login)
	for i := range 237 {
		r.ids = append(r.ids, fmt.Sprintf("rev-%04d", i))
		r.comments = append(r.comments, comment(i/100))
	}
	// This handler serves the reviews. It calls the API's own handler to check the token.
	front := r.ca.startServer(t, func(string) http.Handler { return r })
	r.outProxy = &connectProxy{addrs: map[string]string{
		apiHost + ":443":   strings.TrimPrefix(front, "https://"),
		loginHost + ":443": strings.TrimPrefix(r.login.url, "https://"),
	}}
	r.outProxyURL = brokertest.Serve(t, r.outProxy)
	return r
}

// startBroker runs a broker that is configured with the names of the API and the login server, and waits until it has a token.
func (r *reviewsServers) startBroker(t *testing.T, environ ...string) *broker {
	t.Helper()
	return r.testServers.startReadyBroker(t, append(r.environ(), environ...)...)
}

// environ returns the variables of a broker with the names of the API and the login server.
func (r *reviewsServers) environ() []string {
	return []string{
		"ETRUSTED_API_URL=https://" + r.apiHost,
		"ETRUSTED_TOKEN_URL=https://" + r.loginHost + "/oauth/token",
		"ETRUSTED_CLIENT_ID=" + clientID,
		"ETRUSTED_CLIENT_SECRET=" + r.login.currentSecret(),
		"HTTPS_PROXY=" + r.outProxyURL,
	}
}

func (r *reviewsServers) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	dump, err := httputil.DumpRequest(request, true)
	body, bodyErr := io.ReadAll(request.Body)
	if err != nil || bodyErr != nil {
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	r.rawLog = append(r.rawLog, string(dump))
	r.mu.Unlock()

	tokenCheck := httptest.NewRecorder()
	request.Body = io.NopCloser(bytes.NewReader(body))
	if r.api.ServeHTTP(tokenCheck, request); tokenCheck.Code != http.StatusOK {
		sendRecorded(w, tokenCheck)
		return
	}
	switch request.Method + " " + request.URL.Path {
	case "GET /reviews":
		writeJSON(w, request, http.StatusOK, r.page(request))
	case "POST /events":
		writeJSON(w, request, http.StatusCreated, map[string]string{"id": r.storeEvent(body)})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// page returns a page in the format that eTrusted documents: links are absolute URLs, and the last page has none.
func (r *reviewsServers) page(request *http.Request) any {
	type review struct {
		ID      string `json:"id"`
		Rating  int    `json:"rating"`
		Comment string `json:"comment"`
	}
	var page struct {
		Paging struct {
			Count int `json:"count"`
			Links struct {
				Next string `json:"next,omitempty"`
			} `json:"links"`
		} `json:"paging"`
		TotalElements int      `json:"totalElements"`
		Items         []review `json:"items"`
	}
	query := request.URL.Query()
	count, _ := strconv.Atoi(query.Get("count"))
	rest := r.ids[slices.Index(r.ids, query.Get("after"))+1:]
	for _, id := range rest[:min(count, len(rest))] {
		page.Items = append(page.Items, review{id, 5, r.comments[slices.Index(r.ids, id)]})
	}
	page.Paging.Count, page.TotalElements = len(page.Items), len(r.ids)
	if len(page.Items) < len(rest) {
		query.Set("after", page.Items[count-1].ID)
		page.Paging.Links.Next = "https://" + request.Host + request.URL.Path + "?" + query.Encode()
	}
	return page
}

// comment returns the comment of a review on a page of one hundred. On the first page the comments are so long and random
// that the page, even gzipped, is too large for the broker to buffer. On the other pages they are empty.
func comment(page int) string {
	var words []string
	for page == 0 && len(words) < 60 {
		words = append(words, rand.Text())
	}
	return strings.Join(words, " ")
}

// storeEvent keeps an event and returns its ID, or "" if the body is not an event.
func (r *reviewsServers) storeEvent(body []byte) (id string) {
	var sent struct {
		Type        string
		Transaction struct{ Reference string }
	}
	if json.Unmarshal(body, &sent) != nil || sent.Type != "checkout" {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id = fmt.Sprintf("evt-%04d", len(r.orders))
	r.orders[id] = sent.Transaction.Reference
	return id
}

// writeJSON sends JSON with a Content-Length, gzipped if the request accepts that.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, document any) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false) // links contain a plain &, as at eTrusted
	if encoder.Encode(document) != nil {
		panic(http.ErrAbortHandler)
	}
	body := buffer.String()
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		body = brokertest.Gzipped(body)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// rawRequests returns every request to the API as received.
func (r *reviewsServers) rawRequests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.rawLog)
}

// order returns the order of an event that the API received.
func (r *reviewsServers) order(eventID string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.orders[eventID]
}

// connectProxy is the broker's HTTPS_PROXY. It tunnels to the addresses of two names, and to no others.
type connectProxy struct {
	addrs map[string]string // by host name and port; read-only

	mu        sync.Mutex
	requested []string
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requested = append(p.requested, r.Method+" "+r.RequestURI)
	p.mu.Unlock()
	address := p.addrs[r.RequestURI]
	if r.Method != http.MethodConnect || address == "" {
		http.Error(w, "unknown host", http.StatusForbidden)
		return
	}
	server, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, "cannot connect", http.StatusBadGateway)
		return
	}
	defer func() { _ = server.Close() }()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	brokertest.Tunnel(client, server)
}

// requestLines returns method and target of every request.
func (p *connectProxy) requestLines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requested)
}
