package contender

import (
	"context"

	"etrusted-broker/bench/proc"
)

const caddyVersion = "v2.11.9"

// CaddyName is that of the usual Go proxy.
const CaddyName = "Caddy"

// Caddy attaches a token that never expires.
var Caddy = Contender{
	Name: CaddyName,
	Note: "a fixed token",
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		path, err := fromModule(ctx, w, "github.com/caddyserver/caddy/v2", caddyVersion, "github.com/caddyserver/caddy/v2/cmd/caddy")
		return Program{Version: caddyVersion, Files: []string{path}, command: caddyCommand}, err
	},
}

func caddyCommand(at Place) (proc.Command, error) {
	file, err := at.write("Caddyfile", caddyConfig)
	return proc.Command{
		Args: []string{"run", "--adapter", "caddyfile", "--config", file},
		Env:  []string{"XDG_DATA_HOME=" + at.Folder, "XDG_CONFIG_HOME=" + at.Folder},
	}, err
}

// By default it would keep 32 idle connections to the API.
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
