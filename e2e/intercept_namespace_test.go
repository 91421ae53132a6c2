package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"etrusted-broker/internal/brokertest"
)

// The host names in unchanged apps. A test may use them only in its own network namespace, from which nothing can reach the
// real servers.
const (
	realAPIHost   = "api.etrusted.com"
	realLoginHost = "login.etrusted.com"
)

// interceptExamples has the examples for unchanged apps.
const interceptExamples = "../examples/intercept"

// inNamespace runs the test in a separate process, with its own network and hosts file. It returns true in that process, and
// false in the original one after the other has ended.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const variable = "E2E_IN_NAMESPACE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	unshare := []string{"--mount", "--net"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	// The example's hosts file leads the apps to the broker. For shop.example, the broker's CA must not vouch.
	hosts := "127.0.0.1 localhost shop.example\n::1 localhost\n" + readFile(t, interceptExamples+"/host/hosts")
	command := func(args ...string) *exec.Cmd {
		enter := []string{"sh", "-c", `mount --bind "$0" /etc/hosts && ip link set lo up && exec "$@"`, tempFile(t, hosts)}
		return exec.Command("unshare", slices.Concat(unshare, enter, args)...)
	}
	if output, err := command("true").CombinedOutput(); err != nil {
		skip(t, "E2E_NAMESPACES", fmt.Sprintf("NO NAMESPACES: that unchanged apps work by name is NOT TESTED; it needs root or user namespaces, and iproute2: %v\n%s", err, output))
	}
	cmd := command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), variable+"="+t.Name(), "BROKER_BINARY="+brokerBinary)
	output, err := cmd.CombinedOutput()
	t.Logf("in the namespace:\n%s", output)
	if err != nil {
		t.Errorf("in the namespace: %v", err)
	}
	return false
}

// startRealNames starts servers with the real names, which only the DNS server at 127.0.0.1 leads to. It must be called in a
// namespace.
func startRealNames(t *testing.T) *reviewsServers {
	t.Helper()
	r := startReviewsServersAs(t, realAPIHost, realLoginHost)
	addresses := map[string]string{realAPIHost: "127.0.0.2", realLoginHost: "127.0.0.3"}
	for name, address := range addresses {
		startReboundNameAt(t, address+":443").setTarget(r.outProxy.addrs[name+":443"])
	}
	brokertest.ServeDNSAt(t, "127.0.0.1:53", func(name string) ([]string, dnsmessage.RCode) {
		address, ok := addresses[strings.ToLower(strings.TrimSuffix(name, "."))]
		if !ok {
			return nil, dnsmessage.RCodeNameError
		}
		return []string{address}, dnsmessage.RCodeSuccess
	})
	return r
}

// byName returns the variables of a broker that answers on port 443, and the file of its CA.
func (r *reviewsServers) byName(t *testing.T) (environ []string, caFile string) {
	t.Helper()
	variable, caFile := createCA(t, r.apiHost, r.loginHost)
	return []string{variable, "HTTPS_PROXY=", "BROKER_INTERCEPT_LISTEN=localhost:443", "BROKER_UPSTREAM_RESOLVER=127.0.0.1"}, caFile
}
