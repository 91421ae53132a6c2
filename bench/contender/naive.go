package contender

import (
	"context"
	"path/filepath"

	"etrusted-broker/bench/proc"
)

// NaiveName is that of what the broker takes the place of.
const NaiveName = "naive"

// Naive is what one writes first.
var Naive = Contender{
	Name: NaiveName,
	Note: "`NewSingleHostReverseProxy` with `oauth2.Transport`, see [naive](naive/main.go)",
	Slow: true,
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		path := filepath.Join(w.Folder, "naive")
		if err := goBuild(ctx, w.Bench, path, "./naive", static); err != nil {
			return Program{}, err
		}
		return Program{
			Files: []string{path},
			command: func(at Place) (proc.Command, error) {
				return proc.Command{Env: append(at.environment(), "LISTEN="+at.Listen)}, nil
			},
		}, nil
	},
}
