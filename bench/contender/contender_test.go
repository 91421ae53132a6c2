package contender

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/bench/upstream"
)

var somewhere = upstream.Address{
	URL: "https://127.0.0.1:4711", Host: "127.0.0.1:4711", TokenURL: "https://127.0.0.1:4711/oauth/token", CAFile: "/ca.pem", Token: "t0ken",
}

// A place holder that is forgotten would be a contender that does something else, and maybe less.
func TestConfigurationsAreFilledIn(t *testing.T) {
	forgotten := regexp.MustCompile(`\{[A-Z_]+\}`)
	for name, text := range map[string]string{"nginx": nginxConfig, "haproxy": haproxyConfig, "caddy": caddyConfig} {
		path, err := Place{Folder: t.TempDir(), Listen: "127.0.0.1:4712", Spare: "127.0.0.1:4713", API: somewhere}.write("config", text)
		if err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if left := forgotten.FindAllString(string(written), -1); left != nil {
			t.Errorf("%s: not filled in: %q", name, left)
		}
		for _, want := range []string{"127.0.0.1:4712", "127.0.0.1:4711", "/ca.pem"} {
			if !strings.Contains(string(written), want) {
				t.Errorf("%s: %q is not in it", name, want)
			}
		}
	}
}

// Without the system's, the figures would be those of the other broker.
func TestTheSystemsAuthoritiesAreReadBesideTheAPIs(t *testing.T) {
	at := Place{Folder: t.TempDir(), API: somewhere}
	at.API.CAFile = filepath.Join(at.Folder, "ca.pem")
	if err := os.WriteFile(at.API.CAFile, []byte("the API's"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := at.trustOfTheSystem()
	folder := filepath.Join(at.Folder, "authorities")
	if want := []string{"SSL_CERT_FILE=", "SSL_CERT_DIR=/etc/ssl/certs:" + folder}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v; want one file", files, err)
	}
	if text, err := os.ReadFile(files[0]); string(text) != "the API's" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestNamesAreDistinctAndFitOnTheCommandLine(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All() {
		if c.Name == "" || strings.Contains(c.Name, ",") || seen[c.Name] {
			t.Errorf("name %q: empty, with a comma, or taken", c.Name)
		}
		seen[c.Name] = true
	}
}

func TestSizeIsThatOfAllFiles(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	for path, size := range map[string]int{one: 10, two: 100} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if size, err := (Program{Files: []string{one, two}}).Size(); size != 110 || err != nil {
		t.Errorf("%d, %v; want 110", size, err)
	}
	if _, err := (Program{Files: []string{one, two + "x"}}).Size(); err == nil {
		t.Error("a missing file has a size")
	}
}

func TestWhatIsMissingSaysHowToGetIt(t *testing.T) {
	if _, err := findDebian("no-such-program", "this-package"); err == nil || !strings.Contains(err.Error(), "apt-get install this-package") {
		t.Errorf("error %v", err)
	}
}

func TestLastLines(t *testing.T) {
	if got := lastLines([]byte(strings.Repeat("x\n", 20) + "why\n")); strings.Count(got, "\n") != 9 || !strings.HasSuffix(got, "why") {
		t.Errorf("%q", got)
	}
}
