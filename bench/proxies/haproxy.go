package proxies

import (
	"context"
	"strings"

	"etrusted-broker/bench/proc"
)

// HAProxyName is the name of HAProxy. The goals for latency and uploads refer to it.
const HAProxyName = "HAProxy"

// HAProxy cannot fetch a token. It adds one that never expires, so like Caddy and Skipper it does less than the others.
var HAProxy = Proxy{
	Name: HAProxyName,
	Note: "a fixed token: it cannot fetch one",
	Prepare: func(ctx context.Context, _ Dirs) (Program, error) {
		path, err := findExecutable("haproxy", "haproxy")
		if err != nil {
			return Program{}, err
		}
		version, err := firstLine(ctx, path, "-v")
		if err != nil {
			return Program{}, err
		}
		version, _, _ = strings.Cut(strings.TrimPrefix(version, "HAProxy version "), " ")
		return Program{Version: version, Files: []string{path}, command: haproxyCommand}, nil
	},
}

func haproxyCommand(c RunConfig) (proc.Command, error) {
	file, err := c.writeConfig("haproxy.cfg", haproxyConfig)
	return proc.Command{Args: []string{"-db", "-f", file}}, err
}

const haproxyConfig = `
global
    maxconn 4096
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
frontend app
    bind {LISTEN}
    default_backend api
backend api
    http-reuse always
    http-request set-header Host {API}
    http-request set-header Authorization "Bearer {TOKEN}"
    server api {API} ssl verify required ca-file {CA_FILE} verifyhost {API_NAME} sni str({API_NAME}) alpn http/1.1
`
