package brokertest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Broker is a broker that runs in this process.
type Broker struct {
	T     *testing.T
	URL   string // of the app's listener, without a final slash
	Admin string // likewise, of the admin listener; empty if that is off

	Stdout, Logs *LogBuffer

	// Terminate does what the first SIGTERM does: it begins the graceful shutdown, and does not wait for its end.
	Terminate context.CancelFunc
	// Ended is closed once the broker has ended.
	Ended chan struct{}

	code int // valid once Ended is closed
}

// A program is the broker without its process: it runs until ctx is done and the shutdown is over, and returns the exit
// code.
type program func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int

// Start runs a program, and returns once its log says where it listens. The end of the test stops the broker, if the
// test has not done so. Environ makes a suitable environment.
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
			t.Fatalf("the broker ended with exit code %d:\n%s", b.code, b.Logs)
		default:
		}
		b.URL, b.Admin, ok = b.Logs.URLs()
		return ok
	})
	return b
}

// Stop shuts the broker down, unless it has ended already, and returns its exit code.
func (b *Broker) Stop() int {
	b.T.Helper()
	b.Terminate()
	return b.Wait()
}

// Wait waits until the broker has ended, and returns its exit code.
func (b *Broker) Wait() int {
	b.T.Helper()
	select {
	case <-b.Ended:
	case <-time.After(Timeout):
		b.T.Fatalf("the broker has not ended after %v:\n%s", Timeout, b.Logs)
	}
	return b.code
}

// Dial opens a connection to the app's listener.
func (b *Broker) Dial(t testing.TB) *RawConn {
	t.Helper()
	return DialRaw(t, strings.TrimPrefix(b.URL, "http://"))
}

// WaitReady waits until the broker has a token. It needs the admin listener.
func (b *Broker) WaitReady() {
	b.T.Helper()
	Eventually(b.T, "the broker is ready", func() bool { return Get(b.T, b.Admin+"/readyz").Status == http.StatusOK })
}

// WaitRecorded is the function WaitRecorded for this broker. It needs the admin listener.
func (b *Broker) WaitRecorded() {
	b.T.Helper()
	WaitRecorded(b.T, b.Admin)
}

// WaitRecorded waits until every request is in the counters and in the log: a broker records a request after its response. admin is the
// URL of its admin listener.
func WaitRecorded(t *testing.T, admin string) {
	t.Helper()
	Eventually(t, "no request is being served", func() bool {
		return strings.Contains(Get(t, admin+"/metrics").Body, "\netrusted_broker_requests_in_flight 0\n")
	})
}
