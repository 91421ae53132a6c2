package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// If all is well, a check ends with the app's address and a command that uses it. Neither is shown if the address is not known.
func TestCheckEndsWithAppAddress(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	url := brokertest.Serve(t, eTrusted)
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	key := filepath.Join(t.TempDir(), "key")
	brokertest.ReplaceFile(t, key, []byte("0123456789abcdef0123"))
	callers := t.TempDir()
	addFiles(t, callers, "shop", "key", "0123456789abcdef0123", "accounts", "shop-fr")
	socket := filepath.Join(t.TempDir(), "b.sock")
	address := freeAddress(t)
	ca, files := brokertest.NewCA(t, "servers"), newTLSFiles(t)
	files.writePair(t, ca, "first", time.Hour)
	for _, test := range []struct {
		name, app, curl string
		environ         []string
	}{
		{"loopback", "http://" + address, "curl -s http://" + address + "/channels", []string{"BROKER_LISTEN=" + address}},
		{"Unix socket", "unix://" + socket, "curl -s --unix-socket " + socket + " http://localhost/channels", []string{"BROKER_LISTEN=unix://" + socket}},
		{"access key", "http://" + address, `curl -s -H "Authorization: Bearer $BROKER_ACCESS_KEY" http://` + address + "/channels",
			[]string{"BROKER_LISTEN=" + address, "BROKER_ACCESS_KEY=0123456789abcdef0123"}},
		{"access key in a file", "http://" + address, `curl -s -H "Authorization: Bearer $(head -n 1 ` + key + `)" http://` + address + "/channels",
			[]string{"BROKER_LISTEN=" + address, "BROKER_ACCESS_KEY_FILE=" + key}},
		{"no default account", "http://" + address, "curl -s http://" + address + "/@shop-de/channels",
			[]string{"BROKER_LISTEN=" + address, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR=" + dir}},
		{"caller of another account than the first", "http://" + address, `curl -s -H "Authorization: Bearer $(head -n 1 ` + filepath.Join(callers, "shop", "key") + `)" http://` + address + "/channels",
			[]string{"BROKER_LISTEN=" + address, "ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR=" + dir, "BROKER_CALLERS_DIR=" + callers}},
		{"system-chosen port", "", "", []string{"BROKER_LISTEN=127.0.0.1:0"}},
		{"all interfaces", "", "", []string{"BROKER_LISTEN=0.0.0.0:" + portOf(t, address), "BROKER_UNSAFE_LISTEN=true"}},
		{"TLS", "", "", []string{"BROKER_LISTEN=" + address, "BROKER_TLS_CERT_FILE=" + files.cert, "BROKER_TLS_KEY_FILE=" + files.key}},
	} {
		_, stdout, _ := ask([]string{"check"}, brokertest.Environ(url, test.environ...)...)
		want := "\nAll checks passed.\n"
		if test.app != "" {
			want = "\nAll checks passed. Your app's address: " + test.app + "\nWith the broker running, try: " + test.curl + "\n"
		}
		if !strings.HasSuffix(stdout, want) {
			t.Errorf("%s: got\n%s\nwant it to end with\n%s", test.name, stdout, want)
		}
	}
}
