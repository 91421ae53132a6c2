package proxies

import (
	"context"

	"etrusted-broker/bench/proc"
)

const caddyVersion = "v2.11.9"

// Caddy is the most common proxy written in Go. It adds a token that never expires.
var Caddy = Proxy{
	Name: "Caddy",
	Note: "a fixed token",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		path, err := buildModule(ctx, dirs, "github.com/caddyserver/caddy/v2", caddyVersion, "github.com/caddyserver/caddy/v2/cmd/caddy")
		return Program{Version: caddyVersion, Files: []string{path}, command: caddyCommand}, err
	},
}

func caddyCommand(c RunConfig) (proc.Command, error) {
	file, err := c.writeConfig("Caddyfile", caddyConfig)
	return proc.Command{
		Args: []string{"run", "--adapter", "caddyfile", "--config", file},
		Env:  []string{"XDG_DATA_HOME=" + c.Dir, "XDG_CONFIG_HOME=" + c.Dir},
	}, err
}

// The default is 32 idle connections to the API.
const caddyConfig = `
{
	admin off
	persist_config off
	auto_https off
	servers {
		protocols h1
	}
}
http://{LISTEN} {
	reverse_proxy https://{API} {
		header_up Host {API}
		header_up Authorization "Bearer {TOKEN}"
		transport http {
			versions 1.1
			tls_trust_pool file {CA_FILE}
			tls_server_name {API_NAME}
			keepalive_idle_conns_per_host 256
		}
	}
}
`
