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

func TestBodiesHaveTheirSizes(t *testing.T) {
	for _, api := range []string{"https://127.0.0.1:8", "https://127.0.0.1:65535"} {
		one, many := page(api), export(api)
		if len(one) != pageSize || !json.Valid(one) {
			t.Errorf("a page of %d bytes, valid JSON: %v; want %d", len(one), json.Valid(one), pageSize)
		}
		if got := strings.Count(string(one), api); got != 2 {
			t.Errorf("%d links to the API on a page, want 2", got)
		}
		if len(many) != exportSize || !json.Valid(many) {
			t.Errorf("an export of %d bytes, valid JSON: %v; want %d", len(many), json.Valid(many), exportSize)
		}
	}
}

// get asks a server that runs in the test's own process.
func get(t *testing.T, client *http.Client, address Address, path, authorization string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, address.URL+path, nil)
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
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func start(t *testing.T) (*server, Address, *http.Client) {
	t.Helper()
	s := &server{tokens: newTokens()}
	address, err := s.listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(address.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return s, address, &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func fetch(t *testing.T, client *http.Client, address Address, secret string) (int, string, int) {
	t.Helper()
	response, err := client.PostForm(address.TokenURL, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {ClientID}, "client_secret": {secret}, "audience": {Audience},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	_ = json.NewDecoder(response.Body).Decode(&answer) // an error has none
	return response.StatusCode, answer.Token, answer.Expires
}

func TestNothingWithoutAToken(t *testing.T) {
	s, address, client := start(t)
	for authorization, want := range map[string]int{
		"": 401, "Bearer made-up": 401, address.Token: 401, "Bearer " + address.Token: 200,
	} {
		if got, _ := get(t, client, address, Page, authorization); got != want {
			t.Errorf("with %.20q: %d, want %d", authorization, got, want)
		}
	}
	s.tokens.set(Settings{Lifetime: time.Second})
	status, token, expires := fetch(t, client, address, ClientSecret)
	if status != 200 || expires != 1 {
		t.Fatalf("token endpoint: %d, expires in %d", status, expires)
	}
	if got, _ := get(t, client, address, Page, "Bearer "+token); got != 200 {
		t.Errorf("with a fresh token: %d", got)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if got, _ := get(t, client, address, Page, "Bearer "+token); got == 401 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a token of a second lives on")
		}
	}
}

func TestTokenRequestsAreRecorded(t *testing.T) {
	s, address, client := start(t)
	s.tokens.set(Settings{Delay: 20 * time.Millisecond, Failing: true})
	if status, _, _ := fetch(t, client, address, ClientSecret); status != 503 {
		t.Errorf("failing: %d", status)
	}
	s.tokens.set(Settings{})
	if status, _, _ := fetch(t, client, address, "wrong"); status != 401 {
		t.Errorf("a wrong secret: %d", status)
	}
	requests := s.tokens.take()
	if len(requests) != 2 || requests[0].Status != 503 || requests[1].Status != 401 {
		t.Fatalf("recorded: %+v", requests)
	}
	if took := requests[0].Until.Sub(requests[0].From); took < 20*time.Millisecond {
		t.Errorf("a request that was held back for 20 ms is recorded with %v", took)
	}
	if again := s.tokens.take(); len(again) != 0 {
		t.Errorf("told twice: %+v", again)
	}
}
