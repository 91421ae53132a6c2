package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

func TestBodiesHaveFixedSizes(t *testing.T) {
	for _, api := range []string{"https://127.0.0.1:8", "https://127.0.0.1:65535"} {
		one, many := pageBody(api), exportBody(api)
		if len(one) != pageSize || !json.Valid(one) {
			t.Errorf("page: got %d bytes, valid JSON: %v; want %d, true", len(one), json.Valid(one), pageSize)
		}
		if got := strings.Count(string(one), api); got != 2 {
			t.Errorf("page: got %d links to the API, want 2", got)
		}
		if len(many) != exportSize || !json.Valid(many) {
			t.Errorf("export: got %d bytes, valid JSON: %v; want %d, true", len(many), json.Valid(many), exportSize)
		}
	}
}

// get returns the status of the response to a GET request.
func get(t *testing.T, client *http.Client, endpoint Endpoint, path, authorization string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, endpoint.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

func startServer(t *testing.T) (*server, Endpoint, *http.Client) {
	t.Helper()
	s := &server{tokens: newTokenServer()}
	endpoint, err := s.listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(endpoint.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return s, endpoint, &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func fetchToken(t *testing.T, client *http.Client, endpoint Endpoint, secret string) (int, string, int) {
	t.Helper()
	response, err := client.PostForm(endpoint.TokenURL, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {ClientID}, "client_secret": {secret}, "audience": {Audience},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	_ = json.NewDecoder(response.Body).Decode(&body) // an error response has no body
	return response.StatusCode, body.Token, body.Expires
}

func TestAPIRequiresAValidToken(t *testing.T) {
	s, endpoint, client := startServer(t)
	for authorization, want := range map[string]int{
		"": 401, "Bearer made-up": 401, endpoint.Token: 401, "Bearer " + endpoint.Token: 200,
	} {
		if got := get(t, client, endpoint, PagePath, authorization); got != want {
			t.Errorf("with %.20q: got %d, want %d", authorization, got, want)
		}
	}
	s.tokens.configure(Settings{Lifetime: time.Second})
	status, token, expires := fetchToken(t, client, endpoint, ClientSecret)
	if status != 200 || expires != 1 {
		t.Fatalf("token endpoint: got %d, expires in %d; want 200, 1", status, expires)
	}
	if got := get(t, client, endpoint, PagePath, "Bearer "+token); got != 200 {
		t.Errorf("with a new token: got %d, want 200", got)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if got := get(t, client, endpoint, PagePath, "Bearer "+token); got == 401 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the API still accepts a token 10 s after it expired")
		}
	}
}

// A proxy that falls back to the other version would be measured with that.
func TestEachAddressNegotiatesOneVersion(t *testing.T) {
	_, endpoint, client := startServer(t)
	transport := client.Transport.(*http.Transport)
	both := &http.Client{Transport: &http.Transport{TLSClientConfig: transport.TLSClientConfig.Clone(), ForceAttemptHTTP2: true}}
	defer both.CloseIdleConnections()
	for address, want := range map[string]string{endpoint.URL: "HTTP/1.1", endpoint.HTTP2URL: "HTTP/2.0"} {
		response, err := both.Get(address + PagePath)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.Proto != want || response.StatusCode != 401 {
			t.Errorf("%s: got %s, status %d; want %s, 401 without a token", address, response.Proto, response.StatusCode, want)
		}
	}
	if response, err := client.Get(endpoint.HTTP2URL + PagePath); err == nil {
		_ = response.Body.Close()
		t.Errorf("HTTP/1.1 client at the HTTP/2 address: got %s, want an error", response.Status)
	}
}

func TestTokenRequestsAreRecorded(t *testing.T) {
	s, endpoint, client := startServer(t)
	s.tokens.configure(Settings{Delay: 20 * time.Millisecond, Failing: true})
	if status, _, _ := fetchToken(t, client, endpoint, ClientSecret); status != 503 {
		t.Errorf("failing: got %d, want 503", status)
	}
	s.tokens.configure(Settings{})
	if status, _, _ := fetchToken(t, client, endpoint, "wrong"); status != 401 {
		t.Errorf("wrong secret: got %d, want 401", status)
	}
	requests := s.tokens.takeRequests()
	if len(requests) != 2 || requests[0].Status != 503 || requests[1].Status != 401 {
		t.Fatalf("got records %+v, want a 503 and a 401", requests)
	}
	if took := requests[0].End.Sub(requests[0].Start); took < 20*time.Millisecond {
		t.Errorf("got a record of %v for a response delayed by 20 ms, want at least 20 ms", took)
	}
	if again := s.tokens.takeRequests(); len(again) != 0 {
		t.Errorf("second call: got %+v, want no records", again)
	}
}
