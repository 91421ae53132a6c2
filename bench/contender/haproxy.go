package contender

import (
	"context"
	"strings"

	"etrusted-broker/bench/proc"
)

// HAProxyName is that of the contender whose latency is the bar.
const HAProxyName = "HAProxy"

// HAProxy cannot fetch a token. It attaches one that never expires, which is less than all others but Caddy and Skipper do.
var HAProxy = Contender{
	Name: HAProxyName,
	Note: "a fixed token: it cannot fetch one",
	Find: func(ctx context.Context, _ Workshop) (Program, error) {
		path, err := findDebian("haproxy", "haproxy")
		if err != nil {
			return Program{}, err
		}
		version, err := ask(ctx, path, "-v")
		if err != nil {
			return Program{}, err
		}
		version, _, _ = strings.Cut(strings.TrimPrefix(version, "HAProxy version "), " ")
		return Program{Version: version, Files: []string{path}, command: haproxyCommand}, nil
	},
}

func haproxyCommand(at Place) (proc.Command, error) {
	file, err := at.write("haproxy.cfg", haproxyConfig)
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
