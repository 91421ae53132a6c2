package brokertest

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Client sends the requests of tests. It opens a connection for each request, so none stays idle or half open. It
// follows no redirect, and does not decompress.
var Client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	Timeout:       2 * Timeout, // Receive gives up first, so a timeout is never mistaken for a response
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Response is what a request has led to. Status is 0 if no response arrived. If a response broke off, Err is not nil, and
// Body is what arrived.
type Response struct {
	Status int
	Header http.Header
	Body   string
	Err    error
	Close  bool // the broker closes the connection after the response
}

// Do sends a request and reads the whole response. It takes the results of http.NewRequest, whose error becomes the
// response's.
func Do(request *http.Request, err error) Response {
	if err != nil {
		return Response{Err: err}
	}
	return ReadResponse(Client.Do(request))
}

// ReadResponse reads the whole response that another client has received. It takes the results of that client's methods.
func ReadResponse(response *http.Response, err error) Response {
	if err != nil {
		return Response{Err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return Response{response.StatusCode, response.Header, string(body), err, response.Close}
}

// Get sends a GET request with the given lines of a header, such as "Name: value". It fails the test unless a whole response arrives.
func Get(t *testing.T, url string, header ...string) Response {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	got := Do(request, nil)
	if got.Err != nil {
		t.Fatalf("GET %s: %v", url, got.Err)
	}
	return got
}

// GetAsync sends a GET request in the background. The channel receives one response.
func GetAsync(url string) <-chan Response {
	responses := make(chan Response, 1)
	go func() { responses <- Do(http.NewRequest(http.MethodGet, url, nil)) }()
	return responses
}
