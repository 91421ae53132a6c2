package brokertest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Serve serves handler on a free port of the loopback interface until the test ends, and returns its URL.
func Serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// HoldRequests returns next, except that requests for path wait until gate is closed. Each such request is announced on
// arrived, if that has room.
func HoldRequests(next http.Handler, path string, gate <-chan struct{}, arrived chan<- struct{}) http.Handler {
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

// Listen opens a listener and closes it when the test ends.
func Listen(t testing.TB, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
