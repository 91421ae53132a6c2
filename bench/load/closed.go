package load

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// requestTimeout limits one round trip.
const requestTimeout = 30 * time.Second

// closedLoopRunner runs a closed loop in this process.
type closedLoopRunner struct {
	ClosedLoop
	dial    func() (*client, error)
	clients []*client // one per worker; nil if the worker's next request needs a new connection
}

// newClosedLoopRunner opens the connections and warms up. Every request that fails during the warm-up is an error.
func newClosedLoopRunner(c ClosedLoop) (*closedLoopRunner, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	request := c.request(base.Host)
	r := &closedLoopRunner{ClosedLoop: c, clients: make([]*client, c.Connections)}
	r.dial = func() (*client, error) {
		conn, err := net.DialTimeout("tcp", base.Host, requestTimeout)
		if err != nil {
			return nil, err
		}
		if tlsConfig != nil {
			conn = tls.Client(conn, tlsConfig)
		}
		return newClient(conn, request), nil
	}
	if c.Sequential {
		for i := range r.clients {
			if err := r.send(i); err != nil {
				return nil, fmt.Errorf("connection %d: %w", i+1, err)
			}
		}
		return r, nil
	}
	if result := r.run(c.WarmUp); result.Failed > 0 {
		return nil, fmt.Errorf("%d of %d requests failed during the warm-up, the first: %s", result.Failed, result.Requests, result.FirstError)
	}
	return r, nil
}

// request returns the bytes of each request.
func (c ClosedLoop) request(host string) []byte {
	var b bytes.Buffer
	method := "GET"
	if c.Body > 0 {
		method = "POST"
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\n", method, c.Path, host)
	if c.Authorization != "" {
		fmt.Fprintf(&b, "Authorization: %s\r\n", c.Authorization)
	}
	if c.Body > 0 {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", c.Body)
	}
	b.WriteString("\r\n")
	b.Write(bytes.Repeat([]byte{' '}, c.Body))
	return b.Bytes()
}

// run sends that number of requests over all connections.
func (r *closedLoopRunner) run(requests int) Result {
	result := Result{Requests: requests}
	var next, failed atomic.Int64
	var once sync.Once
	var workers sync.WaitGroup
	start := time.Now()
	for worker := range r.clients {
		workers.Go(func() {
			for next.Add(1) <= int64(requests) {
				if err := r.send(worker); err != nil {
					failed.Add(1)
					once.Do(func() { result.FirstError = err.Error() })
				}
			}
		})
	}
	workers.Wait()
	result.Duration = time.Since(start)
	result.Failed = int(failed.Load())
	return result
}

// send sends a worker's next request and reads the response.
func (r *closedLoopRunner) send(worker int) error {
	conn := r.clients[worker]
	if conn == nil {
		var err error
		if conn, err = r.dial(); err != nil {
			return err
		}
	}
	reusable, err := conn.roundTrip()
	if err != nil || !reusable || r.NewConnections {
		conn.close()
		conn = nil
	}
	r.clients[worker] = conn
	return err
}
