package contender

import (
	"context"
	"fmt"

	"etrusted-broker/bench/proc"
)

const skipperVersion = "v0.27.44"

// SkipperName is that of a Go proxy that is often used as a sidecar.
const SkipperName = "Skipper"

// Skipper attaches a token that never expires.
var Skipper = Contender{
	Name: SkipperName,
	Note: "a fixed token",
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		path, err := fromModule(ctx, w, "github.com/zalando/skipper", skipperVersion, "github.com/zalando/skipper/cmd/skipper")
		return Program{Version: skipperVersion, Files: []string{path}, command: skipperCommand}, err
	},
}

// By default it would keep 64 idle connections to the API.
func skipperCommand(at Place) (proc.Command, error) {
	route := fmt.Sprintf(`api: * -> setRequestHeader("Authorization", "Bearer %s") -> "%s"`, at.API.Token, at.API.URL)
	return proc.Command{
		Args: []string{
			"-address", at.Listen, "-support-listener", at.Spare, "-inline-routes", route,
			"-access-log-disabled", "-application-log-level", "ERROR", "-idle-conns-num", "256",
		},
		Env: []string{"SSL_CERT_FILE=" + at.API.CAFile, "SSL_CERT_DIR=" + at.Folder},
	}, nil
}
