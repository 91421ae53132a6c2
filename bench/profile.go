package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/upstream"
)

// profileDuration is how long is looked on.
const profileDuration = 10 * time.Second

// profileBroker writes a CPU profile of the broker, as it comes, under the load of the kept connections: for whoever makes
// it faster, and for the compiler, which optimizes by it (default.pgo).
func (b *bench) profileBroker(ctx context.Context) error {
	for _, r := range b.subjects {
		if r.Name == proxies.LinksName {
			return b.profileSubject(ctx, r)
		}
	}
	return errors.New("-profile needs the broker: do not leave it out with -only")
}

func (b *bench) profileSubject(ctx context.Context, r subject) error {
	i, err := b.start(ctx, r)
	if err != nil {
		return err
	}
	defer i.stop()
	running, err := load.StartClosedLoop(ctx, load.ClosedLoop{
		Target: i.target(), Path: upstream.PagePath, Connections: keepAliveConnections, WarmUp: b.sizes.WarmUp, Requests: 100 * b.sizes.KeepAlive,
	})
	if err != nil {
		return err
	}
	defer running.Close()
	loading, stop := context.WithCancel(ctx)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		for loading.Err() == nil {
			if _, err := running.Run(); err != nil {
				return
			}
		}
	}()
	err = fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", i.admin, profileDuration.Seconds()), b.profileFile)
	stop()
	running.Close()
	<-loaded
	return err
}

// fetch writes what is at a URL to a file.
func fetch(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: 2 * profileDuration}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	profile, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return os.WriteFile(file, profile, 0o644)
}
