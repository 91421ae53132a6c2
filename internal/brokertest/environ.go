package brokertest

import "etrusted-broker/internal/fakeetrusted"

// Environ returns a valid environment, in the form of os.Environ: eTrusted is at url, with the credentials of
// package fakeetrusted, and both listeners are on free ports. More variables follow: of two with the same name, the last
// one counts.
func Environ(url string, more ...string) []string {
	return append([]string{
		"ETRUSTED_API_URL=" + url,
		"ETRUSTED_TOKEN_URL=" + url + "/oauth/token",
		"ETRUSTED_CLIENT_ID=" + fakeetrusted.DefaultClientID,
		"ETRUSTED_CLIENT_SECRET=" + fakeetrusted.DefaultClientSecret,
		"BROKER_LISTEN=127.0.0.1:0",
		"BROKER_ADMIN_LISTEN=127.0.0.1:0",
		"BROKER_SHUTDOWN_GRACE=5s",
	}, more...)
}

// EnvironWithoutServers is Environ with an address of eTrusted that refuses all connections.
func EnvironWithoutServers(more ...string) []string { return Environ("http://127.0.0.1:1", more...) }
