// Package upstream is what the contenders stand in front of: the API and the token endpoint, over TLS, in a process of
// its own. It takes no request without a valid token, so a contender that attaches none cannot look fast.
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

// Role is the argument that starts the upstream's process.
const Role = "as-upstream"

// ServerName is one that the certificate is good for; the address 127.0.0.1 is another.
const ServerName = "localhost"

// The client that the token endpoint knows.
const (
	ClientID     = "0123456789ab__bench"
	ClientSecret = "made-up-for-the-bench-and-good-for-nothing"
	Audience     = "https://api.etrusted.com"
)

// The paths of the API.
const (
	Page   = "/reviews?count=2" // 1 kB of JSON with links that lead to the API
	Export = "/export"          // 1 MiB of it
	Events = "/events"          // takes any body
)

// Address is where the upstream is, and what it wants.
type Address struct {
	URL, Host, TokenURL string
	CAFile              string
	// Token is one that never expires, for contenders that cannot fetch any.
	Token string
}

// Upstream is a running one.
type Upstream struct {
	Address
	child *child.Child
}

// Start starts the upstream. Its CA's certificate goes into folder.
func Start(ctx context.Context, folder string) (*Upstream, error) {
	c, err := child.Start(ctx, Role)
	if err != nil {
		return nil, err
	}
	u := &Upstream{child: c}
	if err := c.Call(folder, &u.Address); err != nil {
		c.Close()
		return nil, err
	}
	return u, nil
}

// Close ends it.
func (u *Upstream) Close() { u.child.Close() }

// Set changes how token requests are answered from now on.
func (u *Upstream) Set(s Settings) error { return u.child.Call(command{Settings: &s}, &struct{}{}) }

// Requests returns the token requests since the last call.
func (u *Upstream) Requests() ([]TokenRequest, error) {
	var requests []TokenRequest
	return requests, u.child.Call(command{}, &requests)
}

// command is either a change of the settings or, without, a question for the token requests.
type command struct{ Settings *Settings }

// Main is the upstream's process.
func Main(input io.Reader, output io.Writer) error {
	decoder, encoder := json.NewDecoder(input), json.NewEncoder(output)
	server := &server{tokens: newTokens()}
	if err := child.Serve(decoder, encoder, server.listen); err != nil {
		return err
	}
	for {
		err := child.Serve(decoder, encoder, func(c command) (any, error) {
			if c.Settings != nil {
				server.tokens.set(*c.Settings)
				return struct{}{}, nil
			}
			return server.tokens.take(), nil
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
	tokens       *tokens
	page, export []byte
}

// listen begins to serve. The process's end is the server's.
func (s *server) listen(folder string) (Address, error) {
	caFile := filepath.Join(folder, "ca.pem")
	certificate, err := newCertificate(caFile)
	if err != nil {
		return Address{}, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Address{}, err
	}
	host := listener.Addr().String()
	url := "https://" + host
	s.page, s.export = page(url), export(url)
	var protocols http.Protocols
	protocols.SetHTTP1(true) // what the peers speak to an upstream; two of them know no other
	web := &http.Server{
		Handler:     s,
		Protocols:   &protocols,
		IdleTimeout: 10 * time.Minute, // it is never the upstream that closes
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{certificate}},
		ErrorLog:    log.New(io.Discard, "", 0), // of contenders that break off a handshake
	}
	go func() { panic(web.ServeTLS(listener, "", "")) }() // a listener of our own on loopback
	return Address{
		URL: url, Host: host, TokenURL: url + tokenPath, CAFile: caFile, Token: s.tokens.issue(0),
	}, nil
}
