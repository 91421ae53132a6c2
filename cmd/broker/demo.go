package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/server"
	"etrusted-broker/tokensource"
)

// demoLifetime is how long the demo's tokens live: short, so that one can watch the refresh.
const demoLifetime = 30 * time.Second

func demoCommand(ctx context.Context, i cli) int {
	eTrusted, err := startStandIn(ctx)
	if err != nil {
		printf(i.stderr, "broker demo: %v", err)
		return exitFailure
	}
	defer func() { _ = eTrusted.server.Close() }() // with it ends the demo's eTrusted
	i.environ = demoEnvironment(i.environ, eTrusted.url)
	c, ok := i.configured()
	if !ok {
		return exitConfig
	}
	return i.serve(ctx, c, func(l server.Listeners) { i.introduce(c, eTrusted.url, l) })
}

type standIn struct {
	server *http.Server
	url    string
}

// startStandIn serves the stand-in for eTrusted on a free port of this machine.
func startStandIn(ctx context.Context) (standIn, error) {
	var listenConfig net.ListenConfig
	listener, err := listenConfig.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return standIn{}, fmt.Errorf("cannot start the stand-in for eTrusted: %w", err)
	}
	server := &http.Server{
		Handler:           fakeetrusted.New(fakeetrusted.Options{Lifetime: demoLifetime}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a listener of our own on loopback
		}
	}()
	return standIn{server, "http://" + listener.Addr().String()}, nil
}

// demoEnvironment points the broker at the stand-in. Whatever real credentials the environment holds stay out of it.
func demoEnvironment(environ []string, url string) []string {
	var demo []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, "ETRUSTED_") {
			demo = append(demo, pair)
		}
	}
	return append(demo,
		"ETRUSTED_API_URL="+url,
		"ETRUSTED_TOKEN_URL="+url+"/oauth/token",
		"ETRUSTED_CLIENT_ID="+fakeetrusted.DefaultClientID,
		"ETRUSTED_CLIENT_SECRET="+fakeetrusted.DefaultClientSecret)
}

// introduce prints what there is to try.
func (i cli) introduce(c config.Config, standIn string, l server.Listeners) {
	curl, url := curlFor(c, l.App)
	printf(i.stdout, `
The broker is running, in front of a stand-in for eTrusted with sample data.

  the app's address   %[2]s   (instead of https://api.etrusted.com)
  the stand-in        %[3]s   (asks for a token, which the broker has)

Try, in another terminal:

  %[1]s %[2]s/channels
  %[1]s '%[2]s/reviews?count=2&rating=5'
  %[1]s -X POST -H 'Content-Type: application/json' -d '{"type":"checkout"}' %[2]s/events`, curl, url, standIn)
	if l.Admin != nil {
		printf(i.stdout, `
Tokens live %[2]v here. To watch one being refreshed, open the status page in a browser:

  http://%[1]s/

or ask for the same facts:

  curl http://%[1]s/status.json
  curl http://%[1]s/metrics`, l.Admin.Addr(), demoLifetime)
	}
	printf(i.stdout, "\nCtrl-C ends it.\n")
}

// curlFor returns how to call the app's listener: the command and the base URL.
func curlFor(c config.Config, app net.Listener) (command, url string) {
	command, url = "curl", "http://"+app.Addr().String()
	if app.Addr().Network() == "unix" {
		command, url = "curl --unix-socket "+app.Addr().String(), "http://localhost"
	}
	if c.TLSCertFile != "" {
		command, url = command+" --cacert "+c.TLSCertFile, strings.Replace(url, "http:", "https:", 1)
	}
	if c.TLSClientCAFile != "" {
		command += " --cert CERTIFICATE --key KEY"
	}
	switch {
	case c.AccessKeyFile != "":
		command += ` -H "Authorization: Bearer $(cat ` + c.AccessKeyFile + `)"`
	case !c.AccessKey.Equal(tokensource.Secret{}):
		command += ` -H "Authorization: Bearer $BROKER_ACCESS_KEY"`
	}
	return command, url
}
