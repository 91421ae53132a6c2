package main

import (
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

// This runs the commands that the demo prints. Each one works, and the real environment is not used.
func TestDemoCommandsWork(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	realUpstream := brokertest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	// The fake eTrusted would refuse the real credentials, and the files do not exist: the demo uses neither.
	b := startBroker(t, []string{"demo"}, brokertest.Environ(realUpstream,
		"ETRUSTED_CLIENT_ID=CANARY-id", "ETRUSTED_CLIENT_SECRET=CANARY-secret",
		"ETRUSTED_CLIENT_ID_FILE=/CANARY/id", "ETRUSTED_CLIENT_SECRET_FILE=/CANARY/secret",
		"ETRUSTED_AUDIENCE=CANARY-audience", "ETRUSTED_SCOPES=CANARY-scope"))
	brokertest.Eventually(t, "the demo prints its introduction", func() bool { return strings.Contains(b.Stdout.String(), "Ctrl-C ends it.") })

	fakeURL, _ := b.Logs.Lines("listening")[0]["api"].(string)
	for _, address := range []string{b.URL, b.Admin, fakeURL} {
		if address == "" || !strings.Contains(b.Stdout.String(), address) {
			t.Errorf("got no address %q in the introduction, want it:\n%s", address, b.Stdout)
		}
	}
	curls := curlLines(b.Stdout.String())
	if len(curls) != 5 {
		t.Fatalf("got %d curl commands, want 3 for the broker and 2 more:\n%s", len(curls), b.Stdout)
	}
	for i, words := range curls {
		request := curl(t, words)
		if i < 3 && !strings.HasPrefix(request.URL.String(), b.URL+"/") {
			t.Errorf("%q: got another server, want the broker at %s", words, b.URL)
		}
		if got := brokertest.Do(request, nil); got.Err != nil || got.Status/100 != 2 {
			t.Errorf("%q: got status %d, %v, want success: %s", words, got.Status, got.Err, got.Body)
		}
	}
	if got := brokertest.Get(t, fakeURL+"/channels"); got.Status != http.StatusUnauthorized {
		t.Errorf("the fake eTrusted without a token: got status %d, want 401", got.Status)
	}
	if !strings.Contains(brokertest.Get(t, b.Admin+"/status.json").Body, `"success": 1`) {
		t.Error("got another number of token requests, want 1")
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
	if requests.Load() != 0 || strings.Contains(b.Stdout.String()+b.Logs.String(), "CANARY") {
		t.Errorf("got %d requests at the real upstream, or its credentials in the output, want neither:\n%s%s", requests.Load(), b.Stdout, b.Logs)
	}
	if got := brokertest.Do(http.NewRequest(http.MethodGet, fakeURL+"/channels", nil)); got.Err == nil {
		t.Error("got a response of the fake eTrusted after the demo, want an error")
	}
}

// In a container, only a listener on all addresses can be published. The demo prints addresses that a browser accepts.
func TestDemoPrintsLocalAddresses(t *testing.T) {
	t.Parallel()
	b := startBroker(t, []string{"demo"}, brokertest.EnvironWithoutServers("BROKER_LISTEN=0.0.0.0:0", "BROKER_ADMIN_LISTEN=0.0.0.0:0", "BROKER_UNSAFE_LISTEN=true"))
	brokertest.Eventually(t, "the demo prints its introduction", func() bool { return strings.Contains(b.Stdout.String(), "Ctrl-C ends it.") })
	for _, words := range curlLines(b.Stdout.String()) {
		request := curl(t, words)
		if got := brokertest.Do(request, nil); request.URL.Hostname() != "localhost" || got.Status/100 != 2 {
			t.Errorf("%q: got status %d, %v, want success at localhost", words, got.Status, got.Err)
		}
	}
}

func TestDemoRunsWithoutAdminListener(t *testing.T) {
	t.Parallel()
	b := startBroker(t, []string{"demo"}, []string{"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN="})
	brokertest.Eventually(t, "the demo prints its introduction", func() bool { return strings.Contains(b.Stdout.String(), "Ctrl-C ends it.") })
	if curls := curlLines(b.Stdout.String()); len(curls) != 3 {
		t.Errorf("got %d curl commands, want 3:\n%s", len(curls), b.Stdout)
	}
}

// Without the key, what the demo prints to paste would get 401.
func TestDemoPrintsAccessKeyOption(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the option is that of a shell")
	}
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "0123456789abcdef0123")
	for variable, want := range map[string]string{
		"BROKER_ACCESS_KEY=0123456789abcdef0123": `-H "Authorization: Bearer $BROKER_ACCESS_KEY" http`,
		"BROKER_CALLERS_DIR=" + dir:              `-H "Authorization: Bearer $(head -n 1 ` + filepath.Join(dir, "shop", "key") + `)" http`,
	} {
		b := startBroker(t, []string{"demo"}, []string{"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=", variable})
		brokertest.Eventually(t, "the demo prints its introduction", func() bool { return strings.Contains(b.Stdout.String(), "Ctrl-C ends it.") })
		if got := strings.Count(b.Stdout.String(), "curl "+want); got != 1 {
			t.Errorf("%s: got %d commands with %s, want 1 for /channels:\n%s", variable, got, want, b.Stdout)
		}
	}
}

func TestDemoRefusesUnsafeListen(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := invoke([]string{"demo"}, "BROKER_LISTEN=0.0.0.0:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0")
	if code != exitUsageOrConfig || stdout != "" || !slices.Equal(problemsIn(stderr), []string{"BROKER_LISTEN"}) {
		t.Errorf("got exit code %d, stdout %q and stderr %s, want %d and a problem with BROKER_LISTEN", code, stdout, stderr, exitUsageOrConfig)
	}
}

func TestDemoIgnoresCredentials(t *testing.T) {
	t.Parallel()
	got := config.EnvironToMap(demoEnvironment([]string{
		"PATH=/bin", "BROKER_LOG_LEVEL=debug", "ETRUSTED_CLIENT_ID=CANARY", "ETRUSTED_CLIENT_SECRET_FILE=CANARY", "ETRUSTED_SCOPES=CANARY",
	}, "http://127.0.0.1:1"))
	if got["PATH"] != "/bin" || got["BROKER_LOG_LEVEL"] != "debug" || got["ETRUSTED_TOKEN_URL"] != "http://127.0.0.1:1/oauth/token" {
		t.Errorf("got %v, want the token URL of the demo and the other variables unchanged", got)
	}
	for name, value := range got {
		if strings.Contains(value, "CANARY") {
			t.Errorf("got %s=%s, want it replaced or left out", name, value)
		}
	}
}

// curlLines returns the words of each curl command in a text, as a shell splits them.
func curlLines(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  curl ") {
			all = append(all, shellWords(strings.TrimSpace(line)))
		}
	}
	return all
}

// shellWords splits a command at spaces outside single quotes. It panics on unquoted characters that are special to a shell.
func shellWords(line string) []string {
	var words []string
	word, quoted := "", false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == ' ' && !quoted:
			words = append(words, word)
			word = ""
		case !quoted && strings.ContainsRune(`&?*;|<>()$"\{}[]#~!`+"`", r):
			panic("special characters must be quoted: " + line)
		default:
			word += string(r)
		}
	}
	return append(words, word)
}

// curl returns the request that a curl command would send.
func curl(t *testing.T, words []string) *http.Request {
	t.Helper()
	method, url, body := http.MethodGet, "", ""
	header := http.Header{"User-Agent": {"curl/8.5.0"}, "Accept": {"*/*"}}
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-X":
			i++
			method = words[i]
		case "-d":
			i++
			body = words[i]
		case "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			header.Set(name, value)
		default:
			if url != "" {
				t.Fatalf("two URLs: %q", words)
			}
			url = words[i]
		}
	}
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	request.Header = header
	return request
}
