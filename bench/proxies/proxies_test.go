package proxies

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/bench/upstream"
)

var testEndpoint = upstream.Endpoint{
	URL: "https://127.0.0.1:4711", Host: "127.0.0.1:4711", TokenURL: "https://127.0.0.1:4711/oauth/token", HTTP2URL: "https://127.0.0.1:4712", CAFile: "/ca.pem", Token: "t0ken",
}

// With a placeholder left in its configuration, a proxy would do a different job, and maybe a smaller one.
func TestWriteConfigReplacesAllPlaceholders(t *testing.T) {
	placeholder := regexp.MustCompile(`\{[A-Z_]+\}`)
	for name, text := range map[string]string{"nginx": nginxConfig, "haproxy": haproxyConfig, "caddy": caddyConfig} {
		path, err := RunConfig{Dir: t.TempDir(), Listen: "127.0.0.1:4712", AdminListen: "127.0.0.1:4713", API: testEndpoint}.writeConfig("config", text)
		if err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if left := placeholder.FindAllString(string(written), -1); left != nil {
			t.Errorf("%s: got placeholders %q, want none", name, left)
		}
		for _, want := range []string{"127.0.0.1:4712", "127.0.0.1:4711", "/ca.pem"} {
			if !strings.Contains(string(written), want) {
				t.Errorf("%s: got a configuration without %q:\n%s", name, want, written)
			}
		}
	}
}

// Without the system's CAs, this broker would be measured like the other one.
func TestSystemTrustEnvironmentAddsTheAPIsCA(t *testing.T) {
	c := RunConfig{Dir: t.TempDir(), API: testEndpoint}
	c.API.CAFile = filepath.Join(c.Dir, "ca.pem")
	if err := os.WriteFile(c.API.CAFile, []byte("the API's"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := c.systemTrustEnvironment()
	dir := filepath.Join(c.Dir, "cas")
	if want := []string{"SSL_CERT_FILE=", "SSL_CERT_DIR=/etc/ssl/certs:" + dir}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v; want one file", files, err)
	}
	if text, err := os.ReadFile(files[0]); string(text) != "the API's" {
		t.Errorf("got %q, %v; want the API's CA", text, err)
	}
}

// At the other address it would be measured over HTTP/1.1.
func TestOverHTTP2UsesTheHTTP2Address(t *testing.T) {
	got, err := overHTTP2(RunConfig{API: testEndpoint})
	if want := "ETRUSTED_API_URL=" + testEndpoint.HTTP2URL; err != nil || !slices.Contains(got, want) {
		t.Errorf("got %q, %v; want %q among them", got, err, want)
	}
}

func TestNamesAreUniqueAndWithoutCommas(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All() {
		if c.Name == "" || strings.Contains(c.Name, ",") || seen[c.Name] {
			t.Errorf("got name %q, want a unique one without a comma", c.Name)
		}
		seen[c.Name] = true
	}
}

func TestSizeIsTheSumOfAllFiles(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	for path, size := range map[string]int{one: 10, two: 100} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if size, err := (Program{Files: []string{one, two}}).Size(); size != 110 || err != nil {
		t.Errorf("got %d, %v; want 110", size, err)
	}
	if _, err := (Program{Files: []string{one, two + "x"}}).Size(); err == nil {
		t.Error("got no error for a missing file, want one")
	}
}

func TestMissingProgramNamesThePackages(t *testing.T) {
	if _, err := findExecutable("no-such-program", "this-package"); err == nil || !strings.Contains(err.Error(), "apt-get install this-package") {
		t.Errorf("got error %v, want one with the apt-get command", err)
	}
}

func TestLastLinesReturnsTheLastTen(t *testing.T) {
	if got := lastLines([]byte(strings.Repeat("x\n", 20) + "why\n")); strings.Count(got, "\n") != 9 || !strings.HasSuffix(got, "why") {
		t.Errorf("got %q, want 10 lines that end in %q", got, "why")
	}
}
