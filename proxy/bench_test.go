package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkRequest measures one small request and its response over two open connections. This includes the client and the
// upstream, which BenchmarkRequestDirect measures without the broker.
func BenchmarkRequest(b *testing.B) {
	benchmark(b, func(up string) string { return start(b, up).server.URL })
}

func BenchmarkRequestDirect(b *testing.B) { benchmark(b, func(up string) string { return up }) }

func benchmark(b *testing.B, through func(upstream string) string) {
	body := `{"items":[` + strings.Repeat(`{"rating":5},`, 100) + `{}]}`
	url := through(serve(b, h1, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}))
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(b.Context(), "GET", url+"/reviews?count=10", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		response, err := transport.RoundTrip(request)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		if err != nil || n != int64(len(body)) || response.StatusCode != 200 {
			b.Fatal(response.StatusCode, n, err)
		}
		_ = response.Body.Close()
	}
}
