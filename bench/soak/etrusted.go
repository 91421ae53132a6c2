package soak

import (
	"crypto/tls"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/bench/upstream"
	"etrusted-broker/internal/fakeetrusted"
)

const tokenPath = "/oauth/token"

// eTrusted is a fake eTrusted over TLS, which can fail: the API and the login server, at one address.
type eTrusted struct {
	*fakeetrusted.Server
	address     string // HOST:PORT
	certificate tls.Certificate

	api   atomic.Pointer[apiFault]
	login atomic.Pointer[http.Handler]
	// lastToken is when the latest token was issued, in Unix nanoseconds.
	lastToken atomic.Int64

	mu     sync.Mutex
	server *http.Server
	random *rand.Rand
}

// apiFault answers a share of the API's requests; 1 means all.
type apiFault struct {
	handler http.Handler
	share   float64
}

// startETrusted starts the server, and writes the certificate of its CA to dir.
func startETrusted(dir string, random *rand.Rand) (e *eTrusted, caFile string, err error) {
	caFile = filepath.Join(dir, "ca.pem")
	certificate, err := upstream.NewCertificate(caFile)
	if err != nil {
		return nil, "", err
	}
	e = &eTrusted{
		Server:  fakeetrusted.New(fakeetrusted.Options{Lifetime: tokenLifetime}),
		address: "127.0.0.1:0", certificate: certificate, random: random,
	}
	return e, caFile, e.listen()
}

func (e *eTrusted) url() string { return "https://" + e.address }

// listen accepts connections, again after close at the same address.
func (e *eTrusted) listen() error {
	listener, err := net.Listen("tcp", e.address)
	if err != nil {
		return err
	}
	e.address = listener.Addr().String()
	server := &http.Server{
		Handler:     e,
		IdleTimeout: 10 * time.Minute, // the broker closes connections first
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{e.certificate}},
		ErrorLog:    log.New(io.Discard, "", 0), // faults abort connections
	}
	e.mu.Lock()
	e.server = server
	e.mu.Unlock()
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with close
	return nil
}

// close refuses connections and closes the open ones.
func (e *eTrusted) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.server.Close()
}

// ServeHTTP answers as eTrusted does, unless a fault does.
func (e *eTrusted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != tokenPath {
		if fault := e.api.Load(); fault != nil && e.hit(fault.share) {
			fault.handler.ServeHTTP(w, r)
			return
		}
		e.Server.ServeHTTP(w, r)
		return
	}
	if fault := e.login.Load(); fault != nil {
		(*fault).ServeHTTP(w, r)
		return
	}
	e.Server.ServeHTTP(w, r)
	e.lastToken.Store(time.Now().UnixNano())
}

// hit reports whether a fault hits this request.
func (e *eTrusted) hit(share float64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.random.Float64() < share
}

// failAPI makes a handler answer a share of the API's requests. The result ends that.
func (e *eTrusted) failAPI(handler http.Handler, share float64) (end func()) {
	e.api.Store(&apiFault{handler, share})
	return func() { e.api.Store(nil) }
}

// failLogin makes a handler answer all token requests. The result ends that.
func (e *eTrusted) failLogin(handler http.Handler) (end func()) {
	e.login.Store(&handler)
	return func() { e.login.Store(nil) }
}

// delayLogin delays the answers to token requests. The result ends that.
func (e *eTrusted) delayLogin(d time.Duration) (end func()) {
	e.SetTokenDelay(d)
	return func() { e.SetTokenDelay(0) }
}

// tokenAge returns how long ago the latest token was issued.
func (e *eTrusted) tokenAge() time.Duration { return time.Since(time.Unix(0, e.lastToken.Load())) }
