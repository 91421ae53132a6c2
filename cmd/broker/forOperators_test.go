package main

import (
	"etrusted-broker/proxy/door"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestForOperators(t *testing.T) {
	t.Parallel()
	for _, test := range operatorTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			called := false
			handler := forOperators(door.NewHosts("broker.example"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			request.Host = test.host
			request.Header = test.header
			response := httptest.NewRecorder()
			handler.ServeHTTP(response, request)
			if response.Code != test.status || called != (test.status == 200) {
				t.Errorf("status %d, want %d; served: %v", response.Code, test.status, called)
			}
			if test.status == 421 && !strings.Contains(response.Body.String(), "BROKER_ALLOWED_HOSTS") {
				t.Errorf("does not say what to do: %s", response.Body)
			}
		})
	}
}
