package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"etrusted-broker/bench/contender"
	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proc"
	"etrusted-broker/bench/upstream"
)

const (
	// startTime is how long a contender may take until it answers.
	startTime = 30 * time.Second
	// startStep is how often it is asked. It is the error of the time that a start takes.
	startStep = 500 * time.Microsecond
)

// instance is a contender that runs and answers.
type instance struct {
	*proc.Group
	folder string
	url    string
	admin  string        // HOST:PORT of what it serves beside
	took   time.Duration // from the start to the first 200
}

// start starts a contender and waits for its first 200. The caller stops it.
func (b *bench) start(ctx context.Context, r rival) (*instance, error) {
	folder, err := os.MkdirTemp(b.folder, "place-")
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	i := &instance{folder: folder, url: "http://" + addresses[0], admin: addresses[1]}
	began := time.Now()
	i.Group, err = r.program.Start(contender.Place{Folder: folder, Listen: addresses[0], Spare: addresses[1], API: b.api.Address})
	if err != nil {
		return nil, err
	}
	if err := i.answers(ctx); err != nil {
		i.stop()
		return nil, err
	}
	i.took = time.Since(began)
	return i, nil
}

func (i *instance) stop() {
	i.Stop()
	_ = os.RemoveAll(i.folder)
}

// answers waits for the first 200.
func (i *instance) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	step := time.NewTicker(startStep)
	defer step.Stop()
	last := "it does not listen"
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+upstream.Page, nil)
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
		case <-i.Ended():
			return fmt.Errorf("it has ended before it answered; it said:\n%s", i.Log())
		case <-ctx.Done():
			return fmt.Errorf("no 200 within %v: %s; it said:\n%s", startTime, last, i.Log())
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
