package main

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

// TestDemoCommandsWork does what the demo asks its user to do.
func TestDemoCommandsWork(t *testing.T) {
	t.Parallel()
	var leaked atomic.Int64
	real := brokertest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Add(1) }))
	// The real credentials would be refused by the stand-in, and the files are not there: the demo looks at neither.
	b := startBroker(t, []string{"demo"}, brokertest.Environ(real,
		"ETRUSTED_CLIENT_ID=CANARY-id", "ETRUSTED_CLIENT_SECRET=CANARY-secret",
		"ETRUSTED_CLIENT_ID_FILE=/CANARY/id", "ETRUSTED_CLIENT_SECRET_FILE=/CANARY/secret",
		"ETRUSTED_AUDIENCE=CANARY-audience", "ETRUSTED_SCOPES=CANARY-scope"))
	brokertest.Eventually(t, "the demo is introduced", func() bool { return strings.Contains(b.Stdout.String(), "Ctrl-C ends it.") })

	standIn, _ := b.Logs.Lines("listening")[0]["api"].(string)
	for _, address := range []string{b.URL, b.Admin, standIn} {
		if address == "" || !strings.Contains(b.Stdout.String(), address) {
			t.Errorf("the address %q is not told:\n%s", address, b.Stdout)
		}
	}
	curls := curlLines(b.Stdout.String())
	if len(curls) != 5 {
		t.Fatalf("%d curl lines, want 3 and 2 more:\n%s", len(curls), b.Stdout)
	}
	for i, words := range curls {
		request := curl(t, words)
		if i < 3 && !strings.HasPrefix(request.URL.String(), b.URL+"/") {
			t.Errorf("%q does not go to the broker at %s", words, b.URL)
		}
		if got := brokertest.Do(request, nil); got.Err != nil || got.Status/100 != 2 {
			t.Errorf("%q: %d %s %v", words, got.Status, got.Body, got.Err)
		}
	}
	if got := brokertest.Get(t, standIn+"/channels"); got.Status != http.StatusUnauthorized {
		t.Errorf("the stand-in answers %d without a token", got.Status)
	}
	if !strings.Contains(brokertest.Get(t, b.Admin+"/status.json").Body, `"success": 1`) {
		t.Error("the token was fetched more than once, or not at all")
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if leaked.Load() != 0 || strings.Contains(b.Stdout.String()+b.Logs.String(), "CANARY") {
		t.Errorf("the real environment was used, %d requests:\n%s%s", leaked.Load(), b.Stdout, b.Logs)
	}
	if answer := brokertest.Do(http.NewRequest(http.MethodGet, standIn+"/channels", nil)); answer.Err == nil {
		t.Error("the stand-in outlives the demo")
	}
}

func TestDemoRunsWithoutAdminListener(t *testing.T) {
	t.Parallel()
	b := startBroker(t, []string{"demo"}, []string{"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN="})
	brokertest.Eventually(t, "the demo is introduced", func() bool { return strings.Contains(b.Stdout.String(), "Ctrl-C ends it.") })
	if curls := curlLines(b.Stdout.String()); len(curls) != 3 {
		t.Errorf("%d curl lines:\n%s", len(curls), b.Stdout)
	}
}

func TestDemoRefusesUnsafeListen(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := invoke([]string{"demo"}, "BROKER_LISTEN=0.0.0.0:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0")
	if code != exitConfig || stdout != "" || !slices.Equal(problemsIn(stderr), []string{"BROKER_LISTEN"}) {
		t.Errorf("exit code %d, stdout %q, stderr %s", code, stdout, stderr)
	}
}

func TestDemoIgnoresCredentials(t *testing.T) {
	t.Parallel()
	got := config.Environment(demoEnvironment([]string{
		"PATH=/bin", "BROKER_LOG_LEVEL=debug", "ETRUSTED_CLIENT_ID=CANARY", "ETRUSTED_CLIENT_SECRET_FILE=CANARY", "ETRUSTED_SCOPES=CANARY",
	}, "http://127.0.0.1:1"))
	if got["PATH"] != "/bin" || got["BROKER_LOG_LEVEL"] != "debug" || got["ETRUSTED_TOKEN_URL"] != "http://127.0.0.1:1/oauth/token" {
		t.Errorf("%v", got)
	}
	for name, value := range got {
		if strings.Contains(value, "CANARY") {
			t.Errorf("%s=%s", name, value)
		}
	}
}

// curlLines returns the words of each curl command in a text, as a shell would take them.
func curlLines(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  curl ") {
			all = append(all, shellWords(strings.TrimSpace(line)))
		}
	}
	return all
}

// shellWords splits a command at blanks outside single quotes. The characters that a shell would take for more stop the
// test: they would have to stand in quotes.
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
			panic("a shell would not take this literally: " + line)
		default:
			word += string(r)
		}
	}
	return append(words, word)
}

// curl makes the request that curl would make.
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
