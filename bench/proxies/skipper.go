package proxies

import (
	"context"
	"fmt"

	"etrusted-broker/bench/proc"
)

const skipperVersion = "v0.27.44"

// Skipper is a Go proxy that is often used as a sidecar. It adds a token that never expires.
var Skipper = Proxy{
	Name: "Skipper",
	Note: "a fixed token",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		path, err := buildModule(ctx, dirs, "github.com/zalando/skipper", skipperVersion, "github.com/zalando/skipper/cmd/skipper")
		return Program{Version: skipperVersion, Files: []string{path}, command: skipperCommand}, err
	},
}

// The default is 64 idle connections to the API.
func skipperCommand(c RunConfig) (proc.Command, error) {
	route := fmt.Sprintf(`api: * -> setRequestHeader("Authorization", "Bearer %s") -> "%s"`, c.API.Token, c.API.URL)
	return proc.Command{
		Args: []string{
			"-address", c.Listen, "-support-listener", c.AdminListen, "-inline-routes", route,
			"-access-log-disabled", "-application-log-level", "ERROR", "-idle-conns-num", "256",
		},
		Env: []string{"SSL_CERT_FILE=" + c.API.CAFile, "SSL_CERT_DIR=" + c.Dir},
	}, nil
}
