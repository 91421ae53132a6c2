package proxies

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
)

// BrokerName is the name of Broker. All other rows are compared with it.
const BrokerName = "broker"

// LinksName is the name of BrokerWithLinks.
const LinksName = "broker with links"

// SystemCAsName is the name of BrokerWithSystemCAs.
const SystemCAsName = "broker with the system's CAs"

// BaselineName is the name of Baseline.
const BaselineName = "broker before"

// Broker has everything enabled (access checks, metrics, the retry after a 401, the admin listener) except link rewriting,
// which no other proxy does.
var Broker = Proxy{
	Name: BrokerName,
	Note: "the default configuration without link rewriting",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Broker, filepath.Join(dirs.Temp, "broker"), "BROKER_REWRITE_LINKS=false")
	},
}

// BrokerWithLinks has the default configuration.
var BrokerWithLinks = Proxy{
	Name: LinksName,
	Note: "the default configuration",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Broker, filepath.Join(dirs.Temp, "broker"))
	},
}

// BrokerWithSystemCAs has the default configuration and trusts the system's CAs as well as the API's, as it does for users of
// the real API. It loads more than a hundred certificates, which all stay in memory.
var BrokerWithSystemCAs = Proxy{
	Name:       SystemCAsName,
	Note:       "the default configuration, with the system's CAs too; measured only for memory and start",
	MemoryOnly: true,
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		if found, err := filepath.Glob(systemCertDir + "/*.pem"); err != nil || len(found) == 0 {
			return Program{}, errors.New("no CAs in " + systemCertDir + ": apt-get install ca-certificates")
		}
		program, err := buildBroker(ctx, dirs.Broker, filepath.Join(dirs.Temp, "broker"))
		plain := program.command
		program.command = func(c RunConfig) (proc.Command, error) {
			command, err := plain(c)
			if err != nil {
				return command, err
			}
			trust, err := c.systemTrustEnvironment()
			command.Env = append(command.Env, trust...) // overrides the earlier variables of the same names
			return command, err
		}
		return program, err
	},
}

// systemCertDir is Debian's directory of CA certificates. Go also finds the bundle of all CAs there.
const systemCertDir = "/etc/ssl/certs"

// systemTrustEnvironment returns the variables that make a Go program trust the system's CAs and the API's. SSL_CERT_FILE
// replaces the system's bundle, so it stays empty; SSL_CERT_DIR lists directories, and Go reads them all. The API's CA gets a
// directory of its own. So Go reads both the bundle and the system's directory, as it does for users.
func (c RunConfig) systemTrustEnvironment() (environment []string, err error) {
	certificate, err := os.ReadFile(c.API.CAFile)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(c.Dir, "cas")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return []string{"SSL_CERT_FILE=", "SSL_CERT_DIR=" + systemCertDir + ":" + dir},
		os.WriteFile(filepath.Join(dir, "api.pem"), certificate, 0o644)
}

// Baseline is Broker, built from another checkout, to judge a change.
var Baseline = Proxy{
	Name: BaselineName,
	Note: "the same as broker, from the directory given with -against",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Baseline, filepath.Join(dirs.Temp, "baseline"), "BROKER_REWRITE_LINKS=false")
	},
}

// buildBroker builds the broker from the module in dir.
func buildBroker(ctx context.Context, dir, path string, settings ...string) (Program, error) {
	if err := goBuild(ctx, dir, path, "./cmd/broker", staticBuild); err != nil {
		return Program{}, err
	}
	return Program{
		Version: revision(ctx, dir),
		Files:   []string{path},
		command: func(c RunConfig) (proc.Command, error) {
			return proc.Command{
				Args: []string{"serve"},
				Env: append(append(c.environment(),
					"BROKER_LISTEN="+c.Listen, "BROKER_ADMIN_LISTEN="+c.AdminListen, "BROKER_PPROF=true"), settings...),
			}, nil
		},
	}, nil
}

// revision describes the checkout in dir, for the results.
func revision(ctx context.Context, dir string) string {
	commit, err := firstLine(ctx, "git", "-C", dir, "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "of an unknown revision"
	}
	if changed, err := firstLine(ctx, "git", "-C", dir, "status", "--porcelain", "--", "cmd", "internal", "metrics", "proxy",
		"tokensource", "go.mod"); err != nil || strings.TrimSpace(changed) != "" {
		return "revision " + commit + " with changes"
	}
	return "revision " + commit
}
