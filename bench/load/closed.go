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

// patience is for one answer.
const patience = 30 * time.Second

// closed is a closed load with its connections.
type closed struct {
	Closed
	dial    func() (*client, error)
	clients []*client // one for each worker; nil where each request opens its own
}

// prepare opens the connections and warms up. What fails already then is an error.
func prepare(c Closed) (*closed, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	request := c.request(base.Host)
	p := &closed{Closed: c, clients: make([]*client, c.Connections)}
	p.dial = func() (*client, error) {
		conn, err := net.DialTimeout("tcp", base.Host, patience)
		if err != nil {
			return nil, err
		}
		if tlsConfig != nil {
			conn = tls.Client(conn, tlsConfig)
		}
		return newClient(conn, request), nil
	}
	if c.InTurn {
		for i := range p.clients {
			if err := p.once(i); err != nil {
				return nil, fmt.Errorf("connection %d: %w", i+1, err)
			}
		}
		return p, nil
	}
	if t := p.run(c.WarmUp); t.Failed > 0 {
		return nil, fmt.Errorf("%d of %d requests failed while warming up, the first: %s", t.Failed, t.Requests, t.Why)
	}
	return p, nil
}

// request is the bytes that each request consists of.
func (c Closed) request(host string) []byte {
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

// run sends requests over all connections, until their number is reached.
func (p *closed) run(requests int) Tally {
	tally := Tally{Requests: requests}
	var next, failed atomic.Int64
	var why sync.Once
	var workers sync.WaitGroup
	began := time.Now()
	for worker := range p.clients {
		workers.Go(func() {
			for next.Add(1) <= int64(requests) {
				if err := p.once(worker); err != nil {
					failed.Add(1)
					why.Do(func() { tally.Why = err.Error() })
				}
			}
		})
	}
	workers.Wait()
	tally.Lasted = time.Since(began)
	tally.Failed = int(failed.Load())
	return tally
}

// once sends a worker's next request and reads the answer.
func (p *closed) once(worker int) error {
	client := p.clients[worker]
	if client == nil {
		var err error
		if client, err = p.dial(); err != nil {
			return err
		}
	}
	reusable, err := client.roundTrip()
	if err != nil || !reusable || p.Fresh {
		client.close()
		client = nil
	}
	p.clients[worker] = client
	return err
}
