package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/upstream"
)

// profileDuration is the duration of the CPU profile.
const profileDuration = 10 * time.Second

// profileBroker writes a CPU profile of the broker in its default configuration, under load from the keep-alive connections.
func (b *bench) profileBroker(ctx context.Context) error {
	for _, sub := range b.subjects {
		if sub.Name == proxies.LinksName {
			return b.profileSubject(ctx, sub)
		}
	}
	return errors.New("-profile needs the broker: do not leave it out with -only")
}

func (b *bench) profileSubject(ctx context.Context, sub subject) error {
	i, err := b.start(ctx, sub)
	if err != nil {
		return err
	}
	defer i.stop()
	runner, err := load.StartClosedLoop(ctx, load.ClosedLoop{
		Target: i.target(), Path: upstream.PagePath, Connections: keepAliveConnections, WarmUp: b.sizes.WarmUp, Requests: math.MaxInt,
	})
	if err != nil {
		return err
	}
	defer runner.Close()
	loadDone := make(chan struct{})
	go func() {
		defer close(loadDone)
		_, _ = runner.Run() // fails when the runner is closed
	}()
	err = fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", i.admin, profileDuration.Seconds()), b.profileFile)
	runner.Close()
	<-loadDone
	return err
}

// fetch downloads a URL to a file.
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
