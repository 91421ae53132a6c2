package brokertest

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

// Timeout is how long a test waits for what should be there at once: the machine may be busy.
const Timeout = 30 * time.Second

// LogBuffer is a bytes.Buffer that a test may read while the broker writes to it.
type LogBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *LogBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *LogBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Lines returns the JSON log lines with that message so far.
func (b *LogBuffer) Lines(message string) []map[string]any {
	var found []map[string]any
	for text := range strings.Lines(b.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// Addresses returns the URLs of both listeners once the log tells them; admin is empty if it is off.
func (b *LogBuffer) Addresses() (app, admin string, ok bool) {
	lines := b.Lines("listening")
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

// Broker is a broker that run runs in this process.
type Broker struct {
	T            *testing.T
	URL, Admin   string // of the listeners, without a final slash; admin is empty if it is off
	Stdout, Logs *LogBuffer
	// terminate does what the first SIGTERM does. It does not wait.
	Terminate context.CancelFunc
	Ended     chan struct{}
	code      int // once ended is closed
}

// program is the broker's program without the process. It returns the exit code once ctx is done.
type program func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int

// Start runs the program in this process and returns once it listens. It is stopped when the test ends, at the latest. environ
// is as environFor returns it.
func Start(t *testing.T, run program, args, environ []string) *Broker {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &Broker{T: t, Stdout: &LogBuffer{}, Logs: &LogBuffer{}, Terminate: cancel, Ended: make(chan struct{})}
	go func() {
		b.code = run(ctx, args, environ, b.Stdout, b.Logs)
		close(b.Ended)
	}()
	t.Cleanup(func() { b.Stop() })
	Eventually(t, "the broker listens", func() (ok bool) {
		select {
		case <-b.Ended:
			t.Fatalf("the broker ended with %d:\n%s", b.code, b.Logs)
		default:
		}
		b.URL, b.Admin, ok = b.Logs.Addresses()
		return ok
	})
	return b
}

// Stop ends the broker, if it has not ended yet, and returns its exit code.
func (b *Broker) Stop() int {
	b.T.Helper()
	b.Terminate()
	return b.Wait()
}

// Wait returns the exit code when the broker has ended.
func (b *Broker) Wait() int {
	b.T.Helper()
	select {
	case <-b.Ended:
	case <-time.After(Timeout):
		b.T.Fatalf("the broker does not end:\n%s", b.Logs)
	}
	return b.code
}

// WaitReady returns when the broker has a token.
func (b *Broker) WaitReady() {
	b.T.Helper()
	Eventually(b.T, "the broker is ready", func() bool { return Get(b.T, b.Admin+"/readyz").Status == http.StatusOK })
}

// Environ is an environment that works: eTrusted at url, both listeners on free ports. Of two pairs with the same
// name, the later counts.
func Environ(url string, more ...string) []string {
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

// EnvironWithoutServers is an environment that is valid, but in which nobody answers.
func EnvironWithoutServers(more ...string) []string { return Environ("http://127.0.0.1:1", more...) }

// Serve serves handler on a free port until the test's end, and returns its URL.
func Serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// Gate is next, but requests to path are held back until gate is closed. Each tells arrived, if there is room.
func Gate(next http.Handler, path string, gate <-chan struct{}, arrived chan<- struct{}) http.Handler {
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

// Eventually polls until what is true.
func Eventually(t *testing.T, what string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Timeout); !isTrue(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", Timeout, what)
		}
	}
}

// Receive takes a value off a channel.
func Receive[T any](t *testing.T, what string, values <-chan T) T {
	t.Helper()
	select {
	case value := <-values:
		return value
	case <-time.After(Timeout):
		t.Fatalf("not after %v: %s", Timeout, what)
		panic("unreachable")
	}
}

// httpClient is the client of all tests. Each request has a connection of its own, so none is left idle or half open.
var httpClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	Timeout:       2 * Timeout, // receive gives up before, so a time-out is never taken for an answer
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

type Response struct {
	Status int
	Header http.Header
	Body   string
	Err    error
}

func Do(request *http.Request, err error) Response {
	if err != nil {
		return Response{Err: err}
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return Response{Err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return Response{response.StatusCode, response.Header, string(body), err}
}

func Get(t *testing.T, url string) Response {
	t.Helper()
	got := Do(http.NewRequest(http.MethodGet, url, nil))
	if got.Err != nil {
		t.Fatalf("GET %s: %v", url, got.Err)
	}
	return got
}

// GetLater sends a GET that may take its time.
func GetLater(url string) <-chan Response {
	answers := make(chan Response, 1)
	go func() { answers <- Do(http.NewRequest(http.MethodGet, url, nil)) }()
	return answers
}

func Listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
