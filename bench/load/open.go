package load

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// maxWorkers limits the number of concurrent requests to a proxy that does not respond. Below the limit the rate is constant.
const maxWorkers = 8000

// maxConnections is the size of the connection pool. Further requests wait for a connection, and the wait counts as latency.
// Without a limit, a short stall of the machine would open a thousand connections, whose handshakes would cause the next
// stall, until there are no more responses.
const maxConnections = 256

// runOpenLoop runs an open loop in this process.
func runOpenLoop(o OpenLoop) ([]Request, error) {
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	header := http.Header{"Accept": {"application/json"}}
	if o.Authorization != "" {
		header.Set("Authorization", o.Authorization)
	}
	targeter := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: o.URL + o.Path, Header: header})
	options := []func(*vegeta.Attacker){
		vegeta.Timeout(o.Timeout),
		vegeta.Workers(64), // started in advance, so that the first requests do not wait for them
		vegeta.MaxWorkers(maxWorkers),
		vegeta.MaxConnections(maxConnections),
		vegeta.HTTP2(false),
		vegeta.MaxBody(0), // read bodies, but do not store them
	}
	if tlsConfig != nil {
		options = append(options, vegeta.TLSConfig(tlsConfig))
	}
	attacker := vegeta.NewAttacker(options...)
	var requests []Request
	for result := range attacker.Attack(targeter, vegeta.Rate{Freq: o.Rate, Per: time.Second}, o.Duration, "") {
		request := Request{Start: result.Timestamp, Latency: result.Latency, Error: result.Error}
		if request.Failed = result.Error != "" || result.Code != http.StatusOK; request.Failed && request.Error == "" {
			request.Error = fmt.Sprintf("status %d", result.Code)
		}
		requests = append(requests, request)
	}
	return requests, nil
}

// tlsConfig returns the TLS configuration for an https target, and nil for an http target.
func (t Target) tlsConfig() (*tls.Config, error) {
	if t.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("no certificate in %s", t.CAFile)
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}, nil
}
