package soak

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"etrusted-broker/bench/proc"
)

// startTimeout limits the time until the broker has a token.
const startTimeout = 30 * time.Second

// broker is the broker's process. Everything that it sends and writes is searched for secrets.
type broker struct {
	*proc.Group
	url, admin string // of its listeners
	searcher   *searcher
	client     *http.Client // for the admin listener
}

// startBroker starts the program and waits until it has a token.
func startBroker(ctx context.Context, path, dir string, environ []string, s *searcher) (*broker, error) {
	addresses, err := proc.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	b := &broker{url: "http://" + addresses[0], admin: "http://" + addresses[1], searcher: s, client: &http.Client{Timeout: startTimeout}}
	b.Group, err = proc.Start(proc.Command{
		Path: path, Args: []string{"serve"}, Dir: dir, Output: &lines{searcher: s, output: "log"},
		Env: append(environ, "BROKER_LISTEN="+addresses[0], "BROKER_ADMIN_LISTEN="+addresses[1], "HOME="+dir, "SSL_CERT_DIR="+filepath.Join(dir, "none")),
	})
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(startTimeout)
	for {
		if _, err = b.get(ctx, "/readyz"); err == nil {
			return b, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-b.Exited():
			return nil, fmt.Errorf("the broker has exited; its output:\n%s", b.Log())
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			b.Stop()
			return nil, fmt.Errorf("the broker has no token after %v: %w; its output:\n%s", startTimeout, err, b.Log())
		}
	}
}

// get reads a path of the admin listener.
func (b *broker) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.admin+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := b.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	name, _, _ := strings.Cut(path, "?")
	b.searcher.search("admin listener "+name, body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", path, response.Status)
	}
	return body, err
}

// usage reads what the process uses, after a garbage collection.
func (b *broker) usage(ctx context.Context) (usage, error) {
	if _, err := b.get(ctx, "/debug/pprof/heap?gc=1&debug=1"); err != nil {
		return usage{}, err
	}
	text, err := b.get(ctx, "/metrics")
	if err != nil {
		return usage{}, err
	}
	var u usage
	for name, value := range map[string]*float64{
		"go_memstats_heap_alloc_bytes": &u.live, "go_memstats_stack_inuse_bytes": &u.live, "process_resident_memory_bytes": &u.resident,
		"go_goroutines": &u.goroutines, "process_open_fds": &u.descriptors,
	} {
		number, err := metric(text, name)
		if err != nil {
			return usage{}, err
		}
		*value += number
	}
	return u, nil
}

// metric returns the value of a series without labels.
func metric(text []byte, name string) (float64, error) {
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan(); {
		if value, ok := strings.CutPrefix(scanner.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
