package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proc"
	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/upstream"
)

const (
	// startTimeout limits the time from the start of a proxy to its first 200.
	startTimeout = 30 * time.Second
	// pollInterval is the time between requests until then. It is the resolution of the start-up time.
	pollInterval = 500 * time.Microsecond
)

// instance is a running proxy.
type instance struct {
	*proc.Group
	dir     string
	url     string
	admin   string        // HOST:PORT for metrics and profiles
	startup time.Duration // from the start to the first 200
}

// start starts a proxy and waits for its first 200. The caller stops it.
func (b *bench) start(ctx context.Context, sub subject) (*instance, error) {
	dir, err := os.MkdirTemp(b.dir, "proxy-")
	if err != nil {
		return nil, err
	}
	addresses, err := proc.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	i := &instance{dir: dir, url: "http://" + addresses[0], admin: addresses[1]}
	start := time.Now()
	i.Group, err = sub.program.Start(proxies.RunConfig{Dir: dir, Listen: addresses[0], AdminListen: addresses[1], API: b.api.Endpoint})
	if err != nil {
		return nil, err
	}
	if err := i.waitReady(ctx); err != nil {
		i.stop()
		return nil, err
	}
	i.startup = time.Since(start)
	return i, nil
}

func (i *instance) stop() {
	i.Stop()
	_ = os.RemoveAll(i.dir)
}

// waitReady waits for the proxy's first 200.
func (i *instance) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	reason := "it does not accept connections"
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
			reason = "it answers " + response.Status
		}
		select {
		case <-ticker.C:
		case <-i.Exited():
			return fmt.Errorf("it exited before its first 200; its output:\n%s", i.Log())
		case <-ctx.Done():
			return fmt.Errorf("no 200 within %v: %s; its output:\n%s", startTimeout, reason, i.Log())
		}
	}
}

func (i *instance) target() load.Target { return load.Target{URL: i.url} }
