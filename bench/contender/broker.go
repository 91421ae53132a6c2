package contender

import (
	"context"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
)

// BrokerName is the row that all others are compared with.
const BrokerName = "broker"

// LinksName is that of the broker that rewrites links.
const LinksName = "broker with links"

// BeforeName is that of another state of the broker, to judge a change by.
const BeforeName = "broker before"

// Broker has everything on (the door's checks, metrics, the replay after a 401, the admin listener) but the rewriting of
// links, which no other contender does.
var Broker = Contender{
	Name: BrokerName,
	Note: "everything on but link rewriting",
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		return findBroker(ctx, w.Broker, filepath.Join(w.Folder, "broker"), "BROKER_REWRITE_LINKS=false")
	},
}

// BrokerLinks is as it comes.
var BrokerLinks = Contender{
	Name: LinksName,
	Note: "everything on, as it comes",
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		return findBroker(ctx, w.Broker, filepath.Join(w.Folder, "broker"))
	},
}

// Before is the Broker from another folder.
var Before = Contender{
	Name: BeforeName,
	Note: "as broker, from the folder that -against names",
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		return findBroker(ctx, w.Before, filepath.Join(w.Folder, "before"), "BROKER_REWRITE_LINKS=false")
	},
}

// findBroker builds the broker whose module is in folder.
func findBroker(ctx context.Context, folder, path string, settings ...string) (Program, error) {
	if err := goBuild(ctx, folder, path, "./cmd/broker", static); err != nil {
		return Program{}, err
	}
	return Program{
		Version: revision(ctx, folder),
		Files:   []string{path},
		command: func(at Place) (proc.Command, error) {
			return proc.Command{
				Args: []string{"serve"},
				Env: append(append(at.environment(),
					"BROKER_LISTEN="+at.Listen, "BROKER_ADMIN_LISTEN="+at.Spare, "BROKER_PPROF=true"), settings...),
			}, nil
		},
	}, nil
}

// revision says which broker it was.
func revision(ctx context.Context, folder string) string {
	commit, err := ask(ctx, "git", "-C", folder, "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "of an unknown revision"
	}
	if changed, err := ask(ctx, "git", "-C", folder, "status", "--porcelain", "--", "cmd", "internal", "metrics", "proxy",
		"tokensource", "go.mod"); err != nil || strings.TrimSpace(changed) != "" {
		return "revision " + commit + " with changes"
	}
	return "revision " + commit
}
