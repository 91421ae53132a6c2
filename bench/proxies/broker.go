package proxies

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
)

// The names of the brokers. All rows are compared with BrokerName.
const (
	BrokerName        = "broker"
	LinksName         = "broker with links"
	SystemCAsName     = "broker with the system's CAs"
	HTTP2Name         = "broker over HTTP/2"
	BaselineName      = "broker before"
	BaselineHTTP2Name = "broker before over HTTP/2"
)

// Broker has everything enabled (access checks, metrics, the retry after a 401, the admin listener) except link rewriting,
// which no other proxy does.
var Broker = Proxy{
	Name: BrokerName,
	Note: "the default configuration without link rewriting",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Broker, filepath.Join(dirs.Temp, "broker"), withoutLinks)
	},
}

// BrokerWithLinks has the default configuration.
var BrokerWithLinks = Proxy{
	Name: LinksName,
	Note: "the default configuration",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Broker, filepath.Join(dirs.Temp, "broker"), withLinks)
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
		return buildBroker(ctx, dirs.Broker, filepath.Join(dirs.Temp, "broker"), RunConfig.systemTrustEnvironment)
	},
}

// BrokerOverHTTP2 is Broker with HTTP/2 to the API.
var BrokerOverHTTP2 = Proxy{
	Name:          HTTP2Name,
	Note:          "the same as broker, with HTTP/2 to the API",
	KeepAliveOnly: true,
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Broker, filepath.Join(dirs.Temp, "broker"), overHTTP2)
	},
}

// Baseline is Broker, built from another checkout, to judge a change.
var Baseline = Proxy{
	Name: BaselineName,
	Note: "the same as broker, from the directory given with -against",
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Baseline, filepath.Join(dirs.Temp, "baseline"), withoutLinks)
	},
}

// BaselineOverHTTP2 is BrokerOverHTTP2, built from that checkout.
var BaselineOverHTTP2 = Proxy{
	Name:          BaselineHTTP2Name,
	Note:          "the same as broker over HTTP/2, from that directory",
	KeepAliveOnly: true,
	Prepare: func(ctx context.Context, dirs Dirs) (Program, error) {
		return buildBroker(ctx, dirs.Baseline, filepath.Join(dirs.Temp, "baseline"), overHTTP2)
	},
}

func withLinks(RunConfig) ([]string, error) { return nil, nil }

func withoutLinks(RunConfig) ([]string, error) { return []string{"BROKER_REWRITE_LINKS=false"}, nil }

// overHTTP2 also works for revisions without BROKER_UPSTREAM_HTTP2, which choose HTTP/2 if the API offers it.
func overHTTP2(c RunConfig) ([]string, error) {
	return []string{"BROKER_REWRITE_LINKS=false", "BROKER_UPSTREAM_HTTP2=true", "ETRUSTED_API_URL=" + c.API.HTTP2URL}, nil
}

// systemCertDir is Debian's directory of CA certificates. Go also finds the bundle of all CAs there.
const systemCertDir = "/etc/ssl/certs"

// systemTrustEnvironment returns the variables that make a Go program trust the system's CAs and the API's. SSL_CERT_FILE
// replaces the system's bundle, so it stays empty; SSL_CERT_DIR lists directories, and Go reads them all. The API's CA gets its
// own directory. So Go reads both the bundle and the system's directory, as it does for users.
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

// BuildBroker builds the broker from the module in dir, as it is released.
func BuildBroker(ctx context.Context, dir, path string) error {
	return goBuild(ctx, dir, path, "./cmd/broker", staticBuild)
}

// buildBroker builds the broker from the module in dir. settings returns variables, which
// replace others of the same names.
func buildBroker(ctx context.Context, dir, path string, settings func(RunConfig) ([]string, error)) (Program, error) {
	if err := BuildBroker(ctx, dir, path); err != nil {
		return Program{}, err
	}
	return Program{
		Version: revision(ctx, dir),
		Files:   []string{path},
		command: func(c RunConfig) (proc.Command, error) {
			env := append(c.environment(), "BROKER_LISTEN="+c.Listen, "BROKER_ADMIN_LISTEN="+c.AdminListen, "BROKER_PPROF=true")
			own, err := settings(c)
			return proc.Command{Args: []string{"serve"}, Env: append(env, own...)}, err
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
