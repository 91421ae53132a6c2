package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proc"
	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/upstream"
)

const (
	// startTimeout is how long a contender may take until it answers.
	startTimeout = 30 * time.Second
	// pollInterval is how often it is asked. It is the error of the time that a start takes.
	pollInterval = 500 * time.Microsecond
)

// instance is a contender that runs and answers.
type instance struct {
	*proc.Group
	dir     string
	url     string
	admin   string        // HOST:PORT of what it serves beside
	startup time.Duration // from the start to the first 200
}

// start starts a contender and waits for its first 200. The caller stops it.
func (b *bench) start(ctx context.Context, r subject) (*instance, error) {
	dir, err := os.MkdirTemp(b.dir, "place-")
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	i := &instance{dir: dir, url: "http://" + addresses[0], admin: addresses[1]}
	began := time.Now()
	i.Group, err = r.program.Start(proxies.RunConfig{Dir: dir, Listen: addresses[0], AdminListen: addresses[1], API: b.api.Endpoint})
	if err != nil {
		return nil, err
	}
	if err := i.waitReady(ctx); err != nil {
		i.stop()
		return nil, err
	}
	i.startup = time.Since(began)
	return i, nil
}

func (i *instance) stop() {
	i.Stop()
	_ = os.RemoveAll(i.dir)
}

// waitReady waits for the first 200.
func (i *instance) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	step := time.NewTicker(pollInterval)
	defer step.Stop()
	last := "it does not listen"
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+upstream.PagePath, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			last = "it answers " + response.Status
		}
		select {
		case <-step.C:
		case <-i.Exited():
			return fmt.Errorf("it has ended before it answered; it said:\n%s", i.Log())
		case <-ctx.Done():
			return fmt.Errorf("no 200 within %v: %s; it said:\n%s", startTimeout, last, i.Log())
		}
	}
}

func (i *instance) target() load.Target { return load.Target{URL: i.url} }

// freeAddresses returns addresses of this machine on which nothing listens. Somebody else may take one before it is used:
// the contender then says so.
func freeAddresses(count int) ([]string, error) {
	var addresses []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // when all are known, so that they differ
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
