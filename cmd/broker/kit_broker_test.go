package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// patience is how long a test waits for what should be there at once: the machine may be busy.
const patience = 30 * time.Second

// buffer is a bytes.Buffer that a test may read while the broker writes to it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// lines returns the JSON log lines with that message so far.
func (b *buffer) lines(message string) []map[string]any {
	var found []map[string]any
	for text := range strings.Lines(b.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// addresses returns the URLs of both listeners once the log tells them; admin is empty if it is off.
func (b *buffer) addresses() (app, admin string, ok bool) {
	lines := b.lines("listening")
	if len(lines) == 0 {
		return "", "", false
	}
	return listenerURL(lines[0]["app"]), listenerURL(lines[0]["admin"]), true
}

func listenerURL(address any) string {
	text, _ := address.(string)
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "" // "off"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// running is a broker that run runs in this process.
type running struct {
	t            *testing.T
	url, admin   string // of the listeners, without a final slash; admin is empty if it is off
	stdout, logs *buffer
	// terminate does what the first SIGTERM does. It does not wait.
	terminate context.CancelFunc
	ended     chan struct{}
	code      int // once ended is closed
}

// program is the broker's program without the process. It returns the exit code once ctx is done.
type program func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int

// start runs the program in this process and returns once it listens. It is stopped when the test ends, at the latest. environ
// is as environFor returns it.
func start(t *testing.T, run program, args, environ []string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &running{t: t, stdout: &buffer{}, logs: &buffer{}, terminate: cancel, ended: make(chan struct{})}
	go func() {
		b.code = run(ctx, args, environ, b.stdout, b.logs)
		close(b.ended)
	}()
	t.Cleanup(func() { b.stop() })
	eventually(t, "the broker listens", func() (ok bool) {
		select {
		case <-b.ended:
			t.Fatalf("the broker ended with %d:\n%s", b.code, b.logs)
		default:
		}
		b.url, b.admin, ok = b.logs.addresses()
		return ok
	})
	return b
}

// stop ends the broker, if it has not ended yet, and returns its exit code.
func (b *running) stop() int {
	b.t.Helper()
	b.terminate()
	return b.wait()
}

// wait returns the exit code when the broker has ended.
func (b *running) wait() int {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(patience):
		b.t.Fatalf("the broker does not end:\n%s", b.logs)
	}
	return b.code
}

// ready returns when the broker has a token.
func (b *running) ready() {
	b.t.Helper()
	eventually(b.t, "the broker is ready", func() bool { return get(b.t, b.admin+"/readyz").status == http.StatusOK })
}

// environFor is an environment that works: eTrusted at url, both listeners on free ports. Of two pairs with the same
// name, the later counts.
func environFor(url string, more ...string) []string {
	return append([]string{
		"ETRUSTED_API_URL=" + url,
		"ETRUSTED_TOKEN_URL=" + url + "/oauth/token",
		"ETRUSTED_CLIENT_ID=" + fakeetrusted.DefaultClientID,
		"ETRUSTED_CLIENT_SECRET=" + fakeetrusted.DefaultClientSecret,
		"BROKER_LISTEN=127.0.0.1:0",
		"BROKER_ADMIN_LISTEN=127.0.0.1:0",
		"BROKER_SHUTDOWN_GRACE=5s",
	}, more...)
}

// nowhere is an environment that is valid, but in which nobody answers.
func nowhere(more ...string) []string { return environFor("http://127.0.0.1:1", more...) }

// serveHTTP serves handler on a free port until the test's end, and returns its URL.
func serveHTTP(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// held is next, but requests to path are held back until gate is closed. Each tells arrived, if there is room.
func held(next http.Handler, path string, gate <-chan struct{}, arrived chan<- struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			select {
			case arrived <- struct{}{}:
			default:
			}
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	})
}

// eventually polls until what is true.
func eventually(t *testing.T, what string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !isTrue(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

// receive takes a value off a channel.
func receive[T any](t *testing.T, what string, values <-chan T) T {
	t.Helper()
	select {
	case value := <-values:
		return value
	case <-time.After(patience):
		t.Fatalf("not after %v: %s", patience, what)
		panic("unreachable")
	}
}

// httpClient is the client of all tests. Each request has a connection of its own, so none is left idle or half open.
var httpClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	Timeout:       2 * patience, // receive gives up before, so a time-out is never taken for an answer
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func do(request *http.Request, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body), err}
}

func get(t *testing.T, url string) answer {
	t.Helper()
	got := do(http.NewRequest(http.MethodGet, url, nil))
	if got.err != nil {
		t.Fatalf("GET %s: %v", url, got.err)
	}
	return got
}

// getLater sends a GET that may take its time.
func getLater(url string) <-chan answer {
	answers := make(chan answer, 1)
	go func() { answers <- do(http.NewRequest(http.MethodGet, url, nil)) }()
	return answers
}

func listenFor(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
