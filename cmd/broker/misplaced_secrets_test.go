package main

import (
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

// misplacedForms are the ways in which secrets get into the wrong variable: copied with what stood beside them, or as another
// variable would have them.
var misplacedForms = map[string]func(secret string) string{
	"as it is":            func(s string) string { return s },
	"with a line end":     func(s string) string { return s + "\r\n" },
	"quoted":              func(s string) string { return `"` + s + `"` },
	"assigned":            func(s string) string { return "ETRUSTED_CLIENT_SECRET=" + s },
	"after the id":        func(s string) string { return "shop:" + s },
	"below the id":        func(s string) string { return "shop\n" + s + "\n" },
	"with a port":         func(s string) string { return s + ":8080" },
	"with a path":         func(s string) string { return s + "/x" },
	"as a scheme":         func(s string) string { return s + "://x" },
	"as a path":           func(s string) string { return "/" + s },
	"as a path here":      func(s string) string { return "./" + s },
	"as a long path":      func(s string) string { return "/" + strings.Repeat(s, 100) },
	"below a file":        func(s string) string { return "/dev/null/" + s },
	"in a list":           func(s string) string { return "localhost," + s },
	"in a list of paths":  func(s string) string { return "GET /reviews/,GET /{," + s },
	"after a pattern":     func(s string) string { return "GET /reviews " + s },
	"in blanks":           func(s string) string { return "correct horse " + s + " staple" },
	"in blanks, first":    func(s string) string { return s + " correct horse" },
	"two words":           func(s string) string { return "correct " + s },
	"in PEM":              func(s string) string { return "-----BEGIN PRIVATE KEY-----\n" + s + "\n-----END PRIVATE KEY-----\n" },
	"in PEM, on one line": func(s string) string { return "-----BEGIN PRIVATE KEY----- " + s + " -----END PRIVATE KEY-----" },
	"in PEM, escaped":     func(s string) string { return `-----BEGIN PRIVATE KEY-----\n` + s + `\n-----END PRIVATE KEY-----\n` },
	"as a user":           func(s string) string { return "https://" + s + "@api.etrusted.com" },
	"as a password":       func(s string) string { return "https://shop:" + s + "@api.etrusted.com" },
	"as a proxy's":        func(s string) string { return "http://shop:" + s + "@127.0.0.1:1" },
	"as a store's":        func(s string) string { return "redis://:" + s + "@127.0.0.1:1/0" },
	"as a store's, bare":  func(s string) string { return "shop:" + s + "@127.0.0.1:1" },
	"in a query":          func(s string) string { return "https://login.etrusted.com/oauth/token?client_secret=" + s },
	"in a fragment":       func(s string) string { return "https://login.etrusted.com/oauth/token#" + s },
}

// misplacedSecrets are of the alphabets that secrets have: punctuation, hexadecimal, base64, base32, a UUID.
var misplacedSecrets = []string{
	canarySecret,
	"Q4n4ry+Zm9vYmFy/K3p0Q0FOQVJZ==",
	"9f8e7d6c5b4a39281706f5e4d3c2b1a0",
	"KRUGKIDROVUWG2ZA",
	"5b0c1f9e-3d6a-4f0e-9c55-0a1b2c3d4e5f",
}

// TestMisplacedSecretsAreNotShown puts each secret, in each form, into each variable.
func TestMisplacedSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	names := []string{"ETRUSTED_SECRET", "BROKER_KEY", "HTTPS_PROXY", "https_proxy"}
	for _, v := range config.Variables() {
		names = append(names, v.Name)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, form := range misplacedForms {
				for _, secret := range misplacedSecrets {
					checkNotShown(t, how, secret, []string{name + "=" + form(secret)}, "config") // another variable is at fault
				}
				for _, secret := range misplacedSecrets[:2] { // the alphabets that a URL or a pattern can be misread in
					checkNotShown(t, how, secret, brokertest.EnvironWithoutServers(name+"="+form(secret)), "config", "serve")
				}
				checkNotShown(t, how, canarySecret, brokertest.EnvironWithoutServers(name+"="+form(canarySecret)), "check")
			}
		})
	}
}

// TestSecretsInBothVariablesAreNotShown is about a secret that is set twice: the _FILE variable is not the one at fault.
func TestSecretsInBothVariablesAreNotShown(t *testing.T) {
	t.Parallel()
	for _, name := range config.SecretVariables() {
		for how, form := range misplacedForms {
			for _, secret := range misplacedSecrets {
				value := form(secret)
				checkNotShown(t, how, secret, brokertest.EnvironWithoutServers(name+"="+value, name+"_FILE="+value), "config", "serve")
			}
		}
	}
}

// TestCheckHidesSecretGivenAsHost is about the steps that a check takes with a configuration that is valid.
func TestCheckHidesSecretGivenAsHost(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"check"}, {"check", "-json"}} {
		_, stdout, stderr := ask(command, brokertest.EnvironWithoutServers("BROKER_ADMIN_LISTEN="+canarySecret+":8080")...)
		if text := stdout + stderr; strings.Contains(text, canarySecret) || !strings.Contains(text, "admin listener") {
			t.Errorf("%v: got\n%s\nwant the admin listener without its host", command, text)
		}
	}
}

func checkNotShown(t *testing.T, how, secret string, environ []string, commands ...string) {
	t.Helper()
	for _, command := range commands {
		code, stdout, stderr := invoke(strings.Fields(command), environ...)
		if command == "config" && !strings.Contains(stdout, "BROKER_PPROF") {
			t.Errorf("%s: got exit code %d and %q, want all variables", how, code, stdout)
		}
		if text := stdout + stderr; strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("broker %s: %q is shown (%s):\n%s", command, secret, how, linesContaining(text, secret))
		}
	}
}

// linesContaining are the lines of a text that hold a word.
func linesContaining(text, word string) string {
	var found strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(strings.ToLower(line), strings.ToLower(word)) {
			found.WriteString(line[:min(len(line), 300)])
		}
	}
	return found.String()
}
