package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The names that are hard-coded in an app. They are reserved (RFC 2606): no app gets anywhere with them but through the
// broker, and the broker nowhere but through its HTTPS_PROXY.
const (
	apiHost   = "api.e2e.example"
	loginHost = "login.e2e.example"
)

// reviews is a world in which the API has reviews, on several pages, and takes events. It goes by the names above.
type reviews struct {
	*world
	ids      []string // of all reviews
	comments []string
	tunnels  *tunnels
	tunnelAt string

	mu     sync.Mutex
	came   []string // requests as they came, whole
	events []event
}

type event struct{ id, order string }

func newReviews(t *testing.T) *reviews {
	t.Helper()
	r := &reviews{world: &world{authority: newNamedAuthority(t, apiHost, loginHost)}}
	r.login = startLogin(t, r.authority, r.newSecret(), time.Hour)
	r.api = startAPI(t, r.authority, r.login)
	for i := range 237 {
		r.ids = append(r.ids, fmt.Sprintf("rev-%04d", i))
		r.comments = append(r.comments, comment(i/100))
	}
	// The API's own handler sees who may come in, and this one what there is.
	front := r.authority.serve(t, func(string) http.Handler { return r })
	r.tunnels = &tunnels{to: map[string]string{
		apiHost + ":443":   strings.TrimPrefix(front, "https://"),
		loginHost + ":443": strings.TrimPrefix(r.login.url, "https://"),
	}}
	server := httptest.NewServer(r.tunnels)
	t.Cleanup(server.Close)
	r.tunnelAt = server.URL
	return r
}

// start runs a broker for which the API and the login server have their names.
func (r *reviews) start(t *testing.T, environ ...string) *broker {
	t.Helper()
	b := r.world.start(t, append([]string{
		"ETRUSTED_API_URL=https://" + apiHost,
		"ETRUSTED_TOKEN_URL=https://" + loginHost + "/oauth/token",
		"ETRUSTED_CLIENT_ID=" + clientID,
		"ETRUSTED_CLIENT_SECRET=" + r.login.currentSecret(),
		"HTTPS_PROXY=" + r.tunnelAt,
	}, environ...)...)
	b.wait()
	return b
}

func (r *reviews) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	dump, err := httputil.DumpRequest(request, true)
	body, bodyErr := io.ReadAll(request.Body)
	if err != nil || bodyErr != nil {
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	r.came = append(r.came, string(dump))
	r.mu.Unlock()

	recorder := httptest.NewRecorder()
	request.Body = io.NopCloser(bytes.NewReader(body))
	if r.api.ServeHTTP(recorder, request); recorder.Code != http.StatusOK {
		maps.Copy(w.Header(), recorder.Header())
		w.WriteHeader(recorder.Code)
		return
	}
	switch request.Method + " " + request.URL.Path {
	case "GET /reviews":
		answerJSON(w, request, http.StatusOK, r.page(request))
	case "POST /events":
		answerJSON(w, request, http.StatusCreated, map[string]string{"id": r.take(body)})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// page is a page in the shape that eTrusted documents: a link is an absolute URL, and the last page has none.
func (r *reviews) page(request *http.Request) any {
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

// comment is what a review on a page of a hundred says. On the first there is so much of it, and so little of it alike, that
// the broker cannot read the page whole even where it is zipped; on the others there is nothing.
func comment(page int) string {
	var words []string
	for page == 0 && len(words) < 60 {
		words = append(words, rand.Text())
	}
	return strings.Join(words, " ")
}

// take keeps an event, and returns its id; none for what is not an event.
func (r *reviews) take(body []byte) (id string) {
	var sent struct {
		Type        string
		Transaction struct{ Reference string }
	}
	if json.Unmarshal(body, &sent) != nil || sent.Type != "checkout" {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id = fmt.Sprintf("evt-%04d", len(r.events))
	r.events = append(r.events, event{id, sent.Transaction.Reference})
	return id
}

// answerJSON sends JSON with its length, zipped where that is asked for.
func answerJSON(w http.ResponseWriter, r *http.Request, status int, document any) {
	var body bytes.Buffer
	var to io.WriteCloser = plain{&body}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		to = gzip.NewWriter(&body)
		w.Header().Set("Content-Encoding", "gzip")
	}
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false) // a link stays readable, as at eTrusted
	if encoder.Encode(document) != nil || to.Close() != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

// plain has nothing to do at its end.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// requests returns all that came to the API, as they came.
func (r *reviews) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.came)
}

// orders returns the events that came, by their ids.
func (r *reviews) orders() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	orders := map[string]string{}
	for _, e := range r.events {
		orders[e.id] = e.order
	}
	return orders
}

// tunnels is the proxy by which the broker gets out. It knows where to find two names, and no others.
type tunnels struct {
	to map[string]string // never changed

	mu    sync.Mutex
	asked []string
}

func (s *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.RequestURI)
	s.mu.Unlock()
	address := s.to[r.RequestURI]
	if r.Method != http.MethodConnect || address == "" {
		http.Error(w, "no way there", http.StatusForbidden)
		return
	}
	server, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, "nobody is there", http.StatusBadGateway)
		return
	}
	defer func() { _ = server.Close() }()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(server, buffered)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

func (s *tunnels) targets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// newNamedAuthority is an authority for servers on 127.0.0.1 that go by names as well. It is its own one certificate.
func newNamedAuthority(t *testing.T, names ...string) *authority {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e test server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{
		file:        filepath.Join(t.TempDir(), "server.pem"),
		pool:        x509.NewCertPool(),
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a.pool.AppendCertsFromPEM(text)
	return a
}
