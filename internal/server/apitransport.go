package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http1"
)

// NewAPITransport returns the broker's client for an API in the form of net/http. It supports requests without a body, and a
// httptrace.ClientTrace for their connections. The caller must read the body of a response to its end, or cancel the request.
func NewAPITransport(api *url.URL, c config.Config, network *dialer.TCPDialer) http.RoundTripper {
	return apiTransport{newAPIClient(api, c, currentLimits(c).idle, network)}
}

type apiTransport struct{ client proxy.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t apiTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	request := &http1.ClientRequest{Method: r.Method, Target: r.URL.RequestURI(), Repeatable: r.Method == http.MethodGet, Caller: &contextCaller{ctx: r.Context()}}
	request.Fields.Add("Host", r.URL.Host)
	for name, values := range r.Header {
		for _, value := range values {
			request.Fields.Add(name, value)
		}
	}
	response, err := t.client.RoundTrip(request)
	switch {
	case err != nil && r.Context().Err() != nil:
		return nil, r.Context().Err() // a deadline, for example, of which the client knows only that it canceled the request
	case err != nil:
		return nil, err
	}
	header := http.Header{}
	for _, field := range response.Fields {
		header.Add(strings.Clone(field.Name), strings.Clone(field.Value)) // the client reuses them
	}
	return &http.Response{StatusCode: response.Status, Header: header, Body: response.Body, ContentLength: response.ContentLength, Request: r}, nil
}

// contextCaller is an http1.Caller that waits as long as its context.
type contextCaller struct {
	ctx  context.Context
	stop func() bool
}

// Context implements http1.Caller.
func (c *contextCaller) Context() context.Context { return c.ctx }

// CancelWhenGone implements http1.Caller.
func (c *contextCaller) CancelWhenGone(request http1.Canceler) {
	if c.stop != nil {
		c.stop()
	}
	if c.stop = nil; request != nil {
		c.stop = context.AfterFunc(c.ctx, request.Cancel)
	}
}
