package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"etrusted-broker/internal/config"
	"etrusted-broker/proxy/localca"
)

// childEnv is the environment of a command that the broker runs.
type childEnv struct{ environ []string }

// newChildEnvWithoutSecrets returns an environment without the variables that contain or name a secret.
func newChildEnvWithoutSecrets(environ []string) *childEnv {
	secret := append(config.SecretOrPathVariableNames(), "CREDENTIALS_DIRECTORY")
	return &childEnv{slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(secret, name)
	})}
}

// set sets variables. Of several values, the last one counts.
func (c *childEnv) set(value string, names ...string) {
	for _, name := range names {
		c.environ = append(c.environ, name+"="+value)
	}
}

func (c *childEnv) get(name string) string { return config.EnvironToMap(c.environ)[name] }

// useProxy makes curl, OpenSSL, Node, Python, Java and PHP use the broker as their HTTPS proxy, and trust the CA in dir besides
// the system's. It writes into dir what they need.
func (c *childEnv) useProxy(proxy net.Addr, dir string) error {
	path := func(name string) string { return filepath.Join(dir, name) }
	certificate, err := os.ReadFile(path("ca.crt"))
	if err != nil {
		return err
	}
	bundle, err := localca.BundleWithSystemCAs(certificate, c.get("SSL_CERT_FILE"))
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"bundle.pem":     bundle,
		"truststore.jks": localca.JavaTrustStore(bundle),
		"php.ini":        fmt.Appendf(nil, "curl.cainfo = %q\nopenssl.cafile = %[1]q\n", path("bundle.pem")),
	} {
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			return err
		}
	}
	host, port, err := net.SplitHostPort(proxy.String())
	if err != nil {
		return err
	}
	c.set("http://"+proxy.String(), "HTTPS_PROXY", "https_proxy")
	loopback := "localhost,127.0.0.1,::1"
	if others := cmp.Or(c.get("NO_PROXY"), c.get("no_proxy")); others != "" {
		loopback = others + "," + loopback
	}
	c.set(loopback, "NO_PROXY", "no_proxy")
	c.set("1", "NODE_USE_ENV_PROXY")
	c.set(path("ca.crt"), "NODE_EXTRA_CA_CERTS")
	c.set(path("bundle.pem"), "CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
	// PHP's curl reads none of these. With an empty element, PHP reads its own directory too.
	c.set(c.get("PHP_INI_SCAN_DIR")+string(filepath.ListSeparator)+dir, "PHP_INI_SCAN_DIR")
	c.set(strings.TrimSpace(fmt.Sprintf("%s -Djavax.net.ssl.trustStore=\"%s\" -Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStorePassword=%s -Dhttps.proxyHost=%s -Dhttps.proxyPort=%s",
		c.get("JAVA_TOOL_OPTIONS"), path("truststore.jks"), localca.JavaTrustStorePassword, host, port)), "JAVA_TOOL_OPTIONS")
	return nil
}
