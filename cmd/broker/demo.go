package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/server"
)

// demoTokenLifetime is the lifetime of the demo's tokens: short, so that refreshes can be watched.
const demoTokenLifetime = 30 * time.Second

func demoCommand(ctx context.Context, i *invocation) error {
	url, stop, err := startFakeETrusted(ctx)
	if err != nil {
		return err
	}
	defer stop()
	i.environ = demoEnvironment(i.environ, url)
	c, err := i.loadConfig()
	if err != nil {
		return err
	}
	return i.serve(ctx, c, nil, func(l server.Listeners) { i.printIntroduction(c, url, l) })
}

// startFakeETrusted starts the fake eTrusted on a free loopback port.
func startFakeETrusted(ctx context.Context) (url string, stop func(), _ error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("cannot start the fake eTrusted: %w", err)
	}
	eTrusted := &http.Server{
		Handler:           fakeetrusted.New(fakeetrusted.Options{Lifetime: demoTokenLifetime}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		if err := eTrusted.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a loopback listener of this process
		}
	}()
	return "http://" + listener.Addr().String(), func() { _ = eTrusted.Close() }, nil
}

// demoEnvironment points the broker at the fake eTrusted. Real credentials in the environment are dropped.
func demoEnvironment(environ []string, fakeURL string) (withoutRealCredentials []string) {
	demo := slices.DeleteFunc(slices.Clone(environ), func(pair string) bool { return strings.HasPrefix(pair, "ETRUSTED_") })
	return append(demo,
		"ETRUSTED_API_URL="+fakeURL,
		"ETRUSTED_TOKEN_URL="+fakeURL+"/oauth/token",
		"ETRUSTED_CLIENT_ID="+fakeetrusted.DefaultClientID,
		"ETRUSTED_CLIENT_SECRET="+fakeetrusted.DefaultClientSecret)
}

// exampleRequests returns commands with characters that need quotes. cmd.exe knows no single quotes, and each version of
// PowerShell has its own way to write JSON in double quotes.
func exampleRequests(curl, url string) string {
	if runtime.GOOS == "windows" {
		return fmt.Sprintf(`%s "%s/reviews?count=2&rating=5"`, curl, url)
	}
	return fmt.Sprintf(`%[1]s '%[2]s/reviews?count=2&rating=5'
  %[1]s -X POST -H 'Content-Type: application/json' -d '{"type":"checkout"}' %[2]s/events`, curl, url)
}

func (i invocation) printIntroduction(c config.Config, fake string, l server.Listeners) {
	usage := server.ConnectionInfoWithoutKey(c, l.App[0])
	callers, _, _ := readCallersAndKeyFiles(c) // the broker has started with them
	curl := usage.Curl + server.CurlAccessKeyOption(c, callers.Callers)
	printLine(i.stdout, `
The broker is running in front of a fake eTrusted with sample data.

  the app's address   %[2]s   (instead of https://api.etrusted.com)
  the fake eTrusted   %[3]s   (requires a token, which the broker adds)

Try, in another terminal:

  %[1]s %[2]s/channels
  %[4]s`, curl, usage.URL, fake, exampleRequests(curl, usage.URL))
	if l.Admin != nil {
		printLine(i.stdout, `
Tokens live %[2]v here. To watch one being refreshed, open the status page in a browser:

  http://%[1]s/

or ask for the same facts:

  %[3]s http://%[1]s/status.json
  %[3]s http://%[1]s/metrics`, server.LocalDialAddress(l.Admin), demoTokenLifetime, server.CurlCommand)
	}
	printLine(i.stdout, "\nCtrl-C ends it.\n")
}
