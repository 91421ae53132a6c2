package doctor

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
)

// TestNeighbourWithManyAccounts holds that a broker is known for one however long its status is.
func TestNeighbourWithManyAccounts(t *testing.T) {
	t.Parallel()
	const account = 15 << 10
	body := `{"version":"1.2.3","ready":true,"accounts":[` + strings.TrimSuffix(strings.Repeat(`{"x":"`+strings.Repeat("y", account)+`"},`, 1000), ",") + `]}`
	server := &http.Server{Handler: fakeetrusted.Answer(200, "application/json", body), ReadHeaderTimeout: patience}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	e := &examination{}
	if broker, ok := e.askStatus(t.Context(), Listener{Network: "tcp", Address: listener.Addr().String()}); !ok || broker != "a broker (version 1.2.3) listens there already, and is ready" {
		t.Errorf("%q, %v", broker, ok)
	}
}
