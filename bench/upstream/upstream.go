// Package upstream is the API and its token endpoint, over TLS, in a separate process. The API answers 401 without a valid token,
// so a proxy cannot be fast by omitting it.
package upstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"etrusted-broker/bench/child"
)

// Role is the command-line argument that starts the upstream's process.
const Role = "as-upstream"

// ServerName is the name in the upstream's certificate, beside the address 127.0.0.1.
const ServerName = "localhost"

// The credentials that the token endpoint accepts.
const (
	ClientID     = "0123456789ab__bench"
	ClientSecret = "made-up-for-the-bench-and-good-for-nothing"
	Audience     = "https://api.etrusted.com"
)

// The paths of the API.
const (
	PagePath   = "/reviews?count=2" // 1 kB of JSON with links to the API
	ExportPath = "/export"          // 1 MiB of such pages
	EventsPath = "/events"          // accepts any body
)

// Endpoint is what a client needs to use the upstream.
type Endpoint struct {
	URL, Host, TokenURL string // over HTTP/1.1 only: some of the proxies support nothing else
	HTTP2URL            string // the API over HTTP/2 only, so that no proxy can fall back to HTTP/1.1
	CAFile              string
	// Token does not expire during a run. It is for proxies that cannot fetch one.
	Token string
}

// Upstream is a running upstream.
type Upstream struct {
	Endpoint
	child *child.Child
}

// Start starts the upstream, and writes the certificate of its CA to dir.
func Start(ctx context.Context, dir string) (*Upstream, error) {
	c, err := child.Start(ctx, Role)
	if err != nil {
		return nil, err
	}
	u := &Upstream{child: c}
	if err := c.Call(dir, &u.Endpoint); err != nil {
		c.Close()
		return nil, err
	}
	return u, nil
}

// Close stops the upstream.
func (u *Upstream) Close() { u.child.Close() }

// Configure changes the responses to later token requests.
func (u *Upstream) Configure(s Settings) error {
	return u.child.Call(command{Settings: &s}, &struct{}{})
}

// TakeTokenRequests returns the token requests that were answered since the last call.
func (u *Upstream) TakeTokenRequests() ([]TokenRequest, error) {
	var requests []TokenRequest
	return requests, u.child.Call(command{}, &requests)
}

// command changes the settings. Without settings it asks for the token requests.
type command struct{ Settings *Settings }

// Main runs the upstream's process until its input ends.
func Main(input io.Reader, output io.Writer) error {
	decoder, encoder := json.NewDecoder(input), json.NewEncoder(output)
	server := &server{tokens: newTokenServer()}
	if err := child.Serve(decoder, encoder, server.listen); err != nil {
		return err
	}
	for {
		err := child.Serve(decoder, encoder, func(c command) (any, error) {
			if c.Settings != nil {
				server.tokens.configure(*c.Settings)
				return struct{}{}, nil
			}
			return server.tokens.takeRequests(), nil
		})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

type server struct {
	tokens       *tokenServer
	page, export []byte
}

// listen starts the server, which runs until the process ends.
func (s *server) listen(dir string) (Endpoint, error) {
	caFile := filepath.Join(dir, "ca.pem")
	certificate, err := NewCertificate(caFile)
	if err != nil {
		return Endpoint{}, err
	}
	var http1, http2 http.Protocols
	http1.SetHTTP1(true)
	http2.SetHTTP2(true)
	var hosts [2]string
	for i, protocols := range []*http.Protocols{&http1, &http2} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return Endpoint{}, err
		}
		hosts[i] = listener.Addr().String()
		httpServer := &http.Server{
			Handler:     s,
			Protocols:   protocols,
			IdleTimeout: 10 * time.Minute, // the upstream never closes a connection during a run
			TLSConfig:   &tls.Config{Certificates: []tls.Certificate{certificate}},
			ErrorLog:    log.New(io.Discard, "", 0), // stopped proxies abort TLS handshakes
		}
		go func() { panic(httpServer.ServeTLS(listener, "", "")) }() // accepting on loopback does not fail
	}
	url := "https://" + hosts[0]
	s.page, s.export = pageBody(url), exportBody(url)
	return Endpoint{
		URL: url, Host: hosts[0], TokenURL: url + tokenPath, HTTP2URL: "https://" + hosts[1], CAFile: caFile, Token: s.tokens.issue(0),
	}, nil
}
