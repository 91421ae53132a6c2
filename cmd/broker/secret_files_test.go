package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
)

func TestReadsSecretFiles(t *testing.T) {
	t.Parallel()
	const secret = "CANARY-3f9d0a"
	tests := []struct {
		name, content string
		problem       string // empty: the file is valid
	}{
		{"plain", secret, ""},
		{"LF", secret + "\n", ""},
		{"CRLF", secret + "\r\n", ""},
		{"BOM", "\xef\xbb\xbf" + secret, ""},
		{"BOM and CRLF", "\xef\xbb\xbf" + secret + "\r\n\r\n", ""},
		{"empty", "", "is empty"},
		{"spaces", " \r\n", "is empty"},
		{"only a BOM", "\xef\xbb\xbf\n", "is empty"},
		{"two lines", secret + "\n" + secret, "more than one line"},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split(secret, ""), "\x00") + "\x00", "not UTF-8"},
		{"too large", strings.Repeat(secret, 4096/len(secret)+1), "larger than 4096 bytes"},
		{"binary", secret + "\x01", "control characters"},
	}
	for _, test := range tests {
		for _, variable := range []string{"ETRUSTED_CLIENT_ID", "ETRUSTED_CLIENT_SECRET"} {
			t.Run(test.name+"/"+variable, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
					t.Fatal(err)
				}
				environ := brokertest.EnvironWithoutServers(variable+"=", variable+"_FILE="+path)
				if test.problem == "" {
					c, problems := config.Load(environ)
					if len(problems) > 0 {
						t.Fatal(problems)
					}
					got := c.ClientID
					if variable == "ETRUSTED_CLIENT_SECRET" {
						got = c.ClientSecret
					}
					if got.Reveal() != secret {
						t.Errorf("got %q, want %q", got.Reveal(), secret)
					}
					return
				}
				checkFileProblem(t, environ, variable, path, test.problem)
			})
		}
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "file")
		environ := brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+path)
		checkFileProblem(t, environ, "ETRUSTED_CLIENT_SECRET", "", "file not found") // its name could be a secret
	})
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		path := t.TempDir()
		environ := brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_ID_FILE="+path)
		checkFileProblem(t, environ, "ETRUSTED_CLIENT_ID", path, "use the path of a file in it")
	})
}

// checkFileProblem reports output that does not name the _FILE variable, the path and the problem, or that shows the content.
func checkFileProblem(t *testing.T, environ []string, variable, path, problem string) {
	t.Helper()
	code, stdout, stderr := invoke([]string{"config"}, environ...)
	if names := problemsIn(stderr); code != exitUsageOrConfig || !slices.Equal(names, []string{variable + "_FILE"}) {
		t.Errorf("got exit code %d and problems with %v, want %d and only %s_FILE", code, names, exitUsageOrConfig, variable)
	}
	for _, part := range []string{variable + "_FILE", path, problem} {
		if !strings.Contains(stderr, part) {
			t.Errorf("got\n%s\nwant %q in it", stderr, part)
		}
	}
	if strings.Contains(stdout+stderr, "CANARY") {
		t.Errorf("the content is shown:\n%s", stderr)
	}
}

func TestReadsCredentialsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})),
		"ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_ID_FILE="+write("id", "\xef\xbb\xbf"+fakeetrusted.DefaultClientID+"\r\n"),
		"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+write("secret", fakeetrusted.DefaultClientSecret+"\n")))
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("/channels: got status %d, want 200: %q", got.Status, got.Body)
	}
}

// A secret may be mounted after the broker has started. Any other mistake ends the start.
func TestWaitsForLateCredentialFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "CANARY-mounted-later")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	id, secret := filepath.Join(dir, "id"), filepath.Join(dir, "secret")
	environ := brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_TOKEN_WAIT=10ms",
		"ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_ID_FILE="+id, "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+secret)
	for _, command := range []string{"config", "check"} {
		want := map[string]string{"config": "ETRUSTED_CLIENT_ID_FILE: file not found", "check": "ETRUSTED_CLIENT_ID_FILE: " + id + " does not exist"}[command]
		if code, stdout, stderr := invoke([]string{command}, environ...); code != exitUsageOrConfig || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%s: got exit code %d and\n%s%s\nwant %d and %q", command, code, stdout, stderr, exitUsageOrConfig, want)
		}
	}
	b := startBroker(t, nil, environ)
	notReady := func(want string) {
		t.Helper()
		brokertest.Eventually(t, want, func() bool {
			got := brokertest.Get(t, b.Admin+"/readyz")
			return got.Status == http.StatusServiceUnavailable && strings.Contains(got.Body, want)
		})
	}
	notReady("cannot read the credentials: ETRUSTED_CLIENT_ID_FILE: file not found; ETRUSTED_CLIENT_SECRET_FILE: file not found. Fix the files")
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusServiceUnavailable || strings.Contains(got.Body, "CANARY") {
		t.Errorf("without credentials: got status %d, want 503 without the path: %s", got.Status, got.Body)
	}
	if lines := b.Logs.Lines("there are no credentials yet; waiting for the files"); len(lines) != 1 || lines[0]["code"] != "credentials-unreadable" {
		t.Errorf("got the log lines %v about the files, want one with the code credentials-unreadable", lines)
	}
	if strings.Contains(fmt.Sprint(b.Logs, b.Stdout), "CANARY") {
		t.Error("a path that does not exist is shown; it may be a secret")
	}
	brokertest.ReplaceFile(t, id, []byte(fakeetrusted.DefaultClientID))
	brokertest.ReplaceFile(t, secret, []byte("\n"))
	notReady("secret is empty")
	brokertest.ReplaceFile(t, secret, []byte(fakeetrusted.DefaultClientSecret))
	b.WaitReady()
}

func TestLogsWhyNewCredentialsAreNotUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	brokertest.ReplaceFile(t, file, []byte(fakeetrusted.DefaultClientSecret))
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})),
		"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+file))
	b.WaitReady()
	brokertest.ReplaceFile(t, file, []byte("wrong"))
	const message = "new credentials do not work; keeping the old ones"
	brokertest.Eventually(t, "the broker logs that the new pair is wrong", func() bool { return len(b.Logs.Lines(message)) > 0 })
	if line := b.Logs.Lines(message)[0]; line["outcome"] != "rejected" || line["code"] != "new-credentials-unused" {
		t.Errorf("got the line %v, want the outcome rejected and the code new-credentials-unused", line)
	}
}

func TestWarnsOfWorldReadableSecretFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addAccount(t, dir, "open", "id", "secret")
	files := map[string]os.FileMode{"id": 0o600, "secret": 0o644, "key": 0o604, "open/client_secret": 0o640, "open/client_id": 0o444}
	for name, mode := range files {
		path := filepath.Join(dir, name)
		brokertest.ReplaceFile(t, path, []byte("some-text-that-is-no-secret"))
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	b := startBroker(t, nil, brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR="+dir,
		"ETRUSTED_CLIENT_ID_FILE="+dir+"/id", "ETRUSTED_CLIENT_SECRET_FILE="+dir+"/secret", "BROKER_ACCESS_KEY_FILE="+dir+"/key"))
	warnings := func() map[string]any {
		readers := map[string]any{}
		for _, line := range b.Logs.Lines("others on this machine can read a secret file: run the command in repair") {
			file := line["file"].(string)
			if want := "chmod o-r " + file; line["repair"] != want {
				t.Errorf("got repair %v, want %q", line["repair"], want)
			}
			name, _ := filepath.Rel(dir, file)
			readers[name] = line["readers"]
		}
		return readers
	}
	if got, want := fmt.Sprint(warnings()), "map[key:every user (mode 0604) open/client_id:every user (mode 0444) secret:every user (mode 0644)]"; got != want {
		t.Errorf("got warnings of %s, want %s", got, want)
	}
	elsewhere := t.TempDir() // the broker checks a file once, so the file must arrive with its mode
	addAccount(t, elsewhere, "later", "id", "secret")
	if err := os.Chmod(filepath.Join(elsewhere, "later/client_secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(elsewhere, "later"), filepath.Join(dir, "later")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the broker warns of the added account's file", func() bool { return warnings()["later/client_secret"] == "every user (mode 0666)" })
}
