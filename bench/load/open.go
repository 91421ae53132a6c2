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

// maxWorkers bounds how many requests may be open at once, for a contender that does not answer. As long as fewer are, the rate is
// kept.
const maxWorkers = 8000

// maxConnections is how many of them share the connections, as in an app that has a pool. The others wait for one, and that
// counts as theirs. Without a limit a hiccup of the machine would open a thousand connections, whose handshakes make
// the next hiccup, and so on until nothing is answered any more.
const maxConnections = 256

// send runs an open load.
func send(o Open) ([]Request, error) {
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
		vegeta.Workers(64), // or the first requests would wait for them to be started
		vegeta.MaxWorkers(maxWorkers),
		vegeta.MaxConnections(maxConnections),
		vegeta.HTTP2(false),
		vegeta.MaxBody(0), // read, but not kept
	}
	if tlsConfig != nil {
		options = append(options, vegeta.TLSConfig(tlsConfig))
	}
	attacker := vegeta.NewAttacker(options...)
	var requests []Request
	for result := range attacker.Attack(targeter, vegeta.Rate{Freq: o.Rate, Per: time.Second}, o.Lasting, "") {
		request := Request{Began: result.Timestamp, Took: result.Latency, Why: result.Error}
		if request.Failed = result.Error != "" || result.Code != http.StatusOK; request.Failed && request.Why == "" {
			request.Why = fmt.Sprintf("status %d", result.Code)
		}
		requests = append(requests, request)
	}
	return requests, nil
}

// tlsConfig is for a target over https; nil for another.
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
