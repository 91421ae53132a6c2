package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// appTimeout is longer than any wait in the broker, so that the broker's own answer arrives.
	appTimeout = 30 * time.Second
	// maxInFlight is below the number of connections that the broker accepts.
	maxInFlight = 1500
)

// apps send requests at a fixed rate, whether or not earlier ones are answered.
type apps struct {
	url, key string // of the broker, and its access key
	rate     int    // requests a second
	ids      []string
	random   *rand.Rand
	tally    *tally
	searcher *searcher
}

// request is a request of an app.
type request struct {
	method, path, body string
	want               string // in its response, and in no other one
}

func (a *apps) next() request {
	switch n := a.random.IntN(20); {
	case n == 0:
		return request{http.MethodGet, "/channels", "", `"chl-`}
	case n < 4:
		return request{http.MethodPost, "/events", `{"type":"checkout","transaction":{"reference":"soak"}}`, `"event created"`}
	default:
		id := a.ids[a.random.IntN(len(a.ids))]
		return request{http.MethodGet, "/reviews/" + id, "", `"id":"` + id + `"`}
	}
}

// newClient returns a client, and what closes its connections.
func newClient() (client *http.Client, closeIdle func()) {
	transport := &http.Transport{MaxIdleConnsPerHost: maxInFlight, IdleConnTimeout: 5 * time.Second, DisableCompression: true}
	return &http.Client{Transport: transport, Timeout: appTimeout}, transport.CloseIdleConnections
}

// burst sends requests all at once, and waits for all responses.
func (a *apps) burst(count int) {
	client, closeIdle := newClient()
	defer closeIdle()
	var group sync.WaitGroup
	for range count {
		next := a.next()
		group.Go(func() { a.send(client, next) })
	}
	group.Wait()
}

// run sends requests until ctx is done, and waits for all responses.
func (a *apps) run(ctx context.Context) {
	client, closeIdle := newClient()
	defer closeIdle()
	inFlight := make(chan struct{}, maxInFlight)
	var group sync.WaitGroup
	defer group.Wait()
	interval := time.Second / time.Duration(a.rate)
	for due := time.Now(); ; due = due.Add(interval) {
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return
		}
		next := a.next()
		select {
		case inFlight <- struct{}{}:
			group.Go(func() {
				a.send(client, next)
				<-inFlight
			})
		default:
			a.tally.add(notSent, next.method+" "+next.path, due, time.Now())
		}
	}
}

func (a *apps) send(client *http.Client, r request) {
	start := time.Now()
	// Not the context of the run: a request in flight at its end must be answered too.
	sent, err := http.NewRequest(r.method, a.url+r.path, bytes.NewReader([]byte(r.body)))
	if err != nil {
		panic(err) // the URL is valid
	}
	sent.Header.Set("Authorization", "Bearer "+a.key)
	response, err := client.Do(sent)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
		a.searcher.search("responses", fmt.Append(body[:len(body):len(body)], response.Header, response.Trailer))
	}
	a.tally.add(outcome(response, body, err, r.want), r.method+" "+r.path, start, time.Now())
}
