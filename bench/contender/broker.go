package contender

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
)

// BrokerName is the row that all others are compared with.
const BrokerName = "broker"

// LinksName is that of the broker that rewrites links.
const LinksName = "broker with links"

// SystemName is that of the broker that trusts whom the system trusts: what a user gets.
const SystemName = "broker with the system's authorities"

// BeforeName is that of another state of the broker, to judge a change by.
const BeforeName = "broker before"

// Broker has everything on (the door's checks, metrics, the replay after a 401, the admin listener) but the rewriting of
// links, which no other contender does.
var Broker = Contender{
	Name: BrokerName,
	Note: "the default configuration without link rewriting",
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		return findBroker(ctx, w.Broker, filepath.Join(w.Folder, "broker"), "BROKER_REWRITE_LINKS=false")
	},
}

// BrokerLinks is as it comes.
var BrokerLinks = Contender{
	Name: LinksName,
	Note: "the default configuration",
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		return findBroker(ctx, w.Broker, filepath.Join(w.Folder, "broker"))
	},
}

// BrokerSystem is as it comes, and reads the system's authorities besides the API's: more than a hundred certificates, which all
// stay in memory.
var BrokerSystem = Contender{
	Name:    SystemName,
	Note:    "the default configuration, with the system's CAs too; measured only for memory and start",
	Resting: true,
	Find: func(ctx context.Context, w Workshop) (Program, error) {
		if found, err := filepath.Glob(systemAuthorities + "/*.pem"); err != nil || len(found) == 0 {
			return Program{}, errors.New("no authorities in " + systemAuthorities + ": apt-get install ca-certificates")
		}
		program, err := findBroker(ctx, w.Broker, filepath.Join(w.Folder, "broker"))
		alone := program.command
		program.command = func(at Place) (proc.Command, error) {
			command, err := alone(at)
			if err != nil {
				return command, err
			}
			trust, err := at.trustOfTheSystem()
			command.Env = append(command.Env, trust...) // the last of a name counts
			return command, err
		}
		return program, err
	},
}

// systemAuthorities is Debian's folder of them. Go looks for their bundle there, too.
const systemAuthorities = "/etc/ssl/certs"

// trustOfTheSystem has a Go program trust the system's authorities, and the API's. Go reads SSL_CERT_FILE in place of the
// system's bundle, and all folders of SSL_CERT_DIR. So the API's is in a folder of its own: then the bundle and the system's
// folder are both read, as they are for a user.
func (at Place) trustOfTheSystem() (environment []string, err error) {
	certificate, err := os.ReadFile(at.API.CAFile)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(at.Folder, "authorities")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	return []string{"SSL_CERT_FILE=", "SSL_CERT_DIR=" + systemAuthorities + ":" + folder},
		os.WriteFile(filepath.Join(folder, "api.pem"), certificate, 0o644)
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
