package proxies

import (
	"context"
	"path/filepath"

	"etrusted-broker/bench/proc"
)

// NaiveName is the name of Naive.
const NaiveName = "naive"

// Naive is the proxy that most people would write first, and that the broker replaces.
var Naive = Proxy{
	Name: NaiveName,
	Note: "`NewSingleHostReverseProxy` with `oauth2.Transport`, see [naive](naive/main.go)",
	Slow: true,
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		path := filepath.Join(dirs.Temp, "naive")
		if err := goBuild(ctx, dirs.Bench, path, "./naive", staticBuild); err != nil {
			return Program{}, err
		}
		return Program{
			Files: []string{path},
			command: func(c RunConfig) (proc.Command, error) {
				return proc.Command{Env: append(c.environment(), "LISTEN="+c.Listen)}, nil
			},
		}, nil
	},
}
