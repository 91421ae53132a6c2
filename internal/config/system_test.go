package config_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"etrusted-broker/internal/config"
)

// Messages about paths have the form of this system, and the paths of this system are accepted.
func TestPathsHaveTheFormOfThisSystem(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("secret", []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs("secret")
	if err != nil {
		t.Fatal(err)
	}
	accepted, refused := []string{absolute, "./secret"}, map[string]string{"secret": "must be a path starting with / or ./", `.\secret`: "must be a path starting with / or ./"}
	listen := "must be HOST:PORT, such as 127.0.0.1:8080, or unix:///path"
	if runtime.GOOS == "windows" {
		accepted = append(accepted, `.\secret`, filepath.ToSlash(absolute))
		refused = map[string]string{"secret": `must be a path starting with a drive or .\`, "/secret": `must be a path starting with a drive or .\`}
		listen = "must be HOST:PORT, such as 127.0.0.1:8080"
	}
	problemOf := func(variable, value string) string {
		_, problems := config.Load([]string{"ETRUSTED_CLIENT_ID=id", "ETRUSTED_CLIENT_SECRET=secret", variable + "=" + value})
		var texts []string
		for _, problem := range problems {
			texts = append(texts, problem.Error())
		}
		return strings.Join(texts, "\n")
	}
	for _, path := range accepted {
		if got := problemOf("BROKER_ACCESS_KEY_FILE", path); got != "" {
			t.Errorf("%s: got %s, want no problem", path, got)
		}
	}
	for path, want := range refused {
		if got := problemOf("BROKER_ACCESS_KEY_FILE", path); !strings.HasPrefix(got, "BROKER_ACCESS_KEY_FILE: "+want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := problemOf("BROKER_LISTEN", "8080"); got != "BROKER_LISTEN: "+listen {
		t.Errorf("got %q, want %q", got, listen)
	}
	if got := problemOf("BROKER_LISTEN", "unix:///run/b.sock"); got != "" {
		t.Errorf("a Unix socket: got %q, want no problem of the configuration", got)
	}
}

func TestWarnsOfVariablesWithoutEffect(t *testing.T) {
	t.Parallel()
	want := 0
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		want = 1
	}
	if c, _ := config.Load([]string{"SSL_CERT_FILE=x"}); len(c.IneffectiveVariables) != want {
		t.Errorf("got %q, want %d warnings", c.IneffectiveVariables, want)
	}
	if c, _ := config.Load([]string{"SSL_CERT_FILE="}); len(c.IneffectiveVariables) != 0 {
		t.Errorf("not set: got %q, want no warning", c.IneffectiveVariables)
	}
}
