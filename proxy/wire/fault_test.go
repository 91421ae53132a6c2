package wire_test

import (
	"net/http"
	"testing"

	"etrusted-broker/proxy/wire"
)

// A client that sends the marker itself is refused, whatever it says in it.
func TestMarkerOfTheClients(t *testing.T) {
	const marker = "Etrusted-Broker-Malformed"
	for name, header := range map[string]http.Header{
		"known":   {marker: {"host"}},
		"unknown": {marker: {"nonsense"}},
		"empty":   {marker: {""}},
		"none":    {marker: {}},
		"two":     {marker: {"host", "host"}},
	} {
		fault := wire.ErrorFrom(&http.Request{Header: header})
		if fault == nil || fault.Status != http.StatusBadRequest || fault.Detail == "" || fault.Hint == "" {
			t.Errorf("%s: %+v", name, fault)
		}
	}
	if fault := wire.ErrorFrom(&http.Request{Header: http.Header{"Host": {"host"}}}); fault != nil {
		t.Errorf("%+v", fault)
	}
	stage := newStage(t, true)
	if r := stage.play(t, []byte("GET / HTTP/1.1\r\nHost: a\r\n"+marker+": x\r\n\r\n")).log.requests; len(r) != 1 || r[0].fault == "" {
		t.Errorf("%+v", r)
	}
}
