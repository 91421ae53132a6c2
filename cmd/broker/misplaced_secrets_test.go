package main

import (
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

// misplacedForms are the forms in which secrets get into the wrong variable: with text that was copied with them, or in the
// form of another variable.
var misplacedForms = map[string]func(secret string) string{
	"unchanged":                    func(s string) string { return s },
	"with a line end":              func(s string) string { return s + "\r\n" },
	"quoted":                       func(s string) string { return `"` + s + `"` },
	"assigned":                     func(s string) string { return "ETRUSTED_CLIENT_SECRET=" + s },
	"after the id":                 func(s string) string { return "shop:" + s },
	"below the id":                 func(s string) string { return "shop\n" + s + "\n" },
	"with a port":                  func(s string) string { return s + ":8080" },
	"with a path":                  func(s string) string { return s + "/x" },
	"as a scheme":                  func(s string) string { return s + "://x" },
	"as a path":                    func(s string) string { return "/" + s },
	"as a relative path":           func(s string) string { return "./" + s },
	"as a long path":               func(s string) string { return "/" + strings.Repeat(s, 100) },
	"below a file":                 func(s string) string { return "/dev/null/" + s },
	"in a list":                    func(s string) string { return "localhost," + s },
	"in a list of paths":           func(s string) string { return "GET /reviews/,GET /{," + s },
	"after a pattern":              func(s string) string { return "GET /reviews " + s },
	"between words":                func(s string) string { return "correct horse " + s + " staple" },
	"before words":                 func(s string) string { return s + " correct horse" },
	"two words":                    func(s string) string { return "correct " + s },
	"in PEM":                       func(s string) string { return "-----BEGIN PRIVATE KEY-----\n" + s + "\n-----END PRIVATE KEY-----\n" },
	"in PEM, on one line":          func(s string) string { return "-----BEGIN PRIVATE KEY----- " + s + " -----END PRIVATE KEY-----" },
	"in PEM, escaped":              func(s string) string { return `-----BEGIN PRIVATE KEY-----\n` + s + `\n-----END PRIVATE KEY-----\n` },
	"as a user":                    func(s string) string { return "https://" + s + "@api.etrusted.com" },
	"as a password":                func(s string) string { return "https://shop:" + s + "@api.etrusted.com" },
	"as a proxy's":                 func(s string) string { return "http://shop:" + s + "@127.0.0.1:1" },
	"as a store's":                 func(s string) string { return "redis://:" + s + "@127.0.0.1:1/0" },
	"as a store's, without scheme": func(s string) string { return "shop:" + s + "@127.0.0.1:1" },
	"in a query":                   func(s string) string { return "https://login.etrusted.com/oauth/token?client_secret=" + s },
	"in a fragment":                func(s string) string { return "https://login.etrusted.com/oauth/token#" + s },
}

// misplacedSecrets cover the alphabets of secrets: punctuation, base64, hexadecimal, base32, a UUID.
var misplacedSecrets = []string{
	canarySecret,
	"Q4n4ry+Zm9vYmFy/K3p0Q0FOQVJZ==",
	"9f8e7d6c5b4a39281706f5e4d3c2b1a0",
	"KRUGKIDROVUWG2ZA",
	"5b0c1f9e-3d6a-4f0e-9c55-0a1b2c3d4e5f",
}

// This puts each secret, in each form, into each variable.
func TestMisplacedSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	names := []string{"ETRUSTED_SECRET", "BROKER_KEY", "HTTPS_PROXY", "https_proxy"}
	for _, v := range config.Variables() {
		names = append(names, v.Name)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for form, inForm := range misplacedForms {
				for _, secret := range misplacedSecrets {
					checkNotShown(t, form, secret, []string{name + "=" + inForm(secret)}, "config") // another variable is invalid
				}
				for _, secret := range misplacedSecrets[:2] { // the alphabets that can be part of a URL or a pattern
					checkNotShown(t, form, secret, brokertest.EnvironWithoutServers(name+"="+inForm(secret)), "config", "serve")
				}
				checkNotShown(t, form, canarySecret, brokertest.EnvironWithoutServers(name+"="+inForm(canarySecret)), "check")
			}
		})
	}
}

// The secret is in both variables of a pair, so the problem is not with the _FILE variable.
func TestSecretsInBothVariablesAreNotShown(t *testing.T) {
	t.Parallel()
	for _, name := range config.SecretVariableNames() {
		for form, inForm := range misplacedForms {
			for _, secret := range misplacedSecrets {
				value := inForm(secret)
				checkNotShown(t, form, secret, brokertest.EnvironWithoutServers(name+"="+value, name+"_FILE="+value), "config", "serve")
			}
		}
	}
}

// The configuration is valid, so check takes its steps and names them.
func TestCheckHidesSecretGivenAsHost(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check"}, {"check", "-json"}} {
		_, stdout, stderr := ask(args, brokertest.EnvironWithoutServers("BROKER_ADMIN_LISTEN="+canarySecret+":8080")...)
		if text := stdout + stderr; strings.Contains(text, canarySecret) || !strings.Contains(text, "admin listener") {
			t.Errorf("%v: got\n%s\nwant the admin listener without its host", args, text)
		}
	}
}

func TestConfigMasksInvalidURLs(t *testing.T) {
	for _, variable := range []string{"ETRUSTED_API_URL", "ETRUSTED_TOKEN_URL"} {
		for _, value := range []string{"https://user:CANARY word@host", "https://user:CANARY%zz@host", "user:CANARY@host", "https://CANARY@host"} {
			if _, stdout, stderr := invoke([]string{"config"}, brokertest.EnvironWithoutServers(variable+"="+value)...); strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("%s=%s is shown by config:\n%s%s", variable, value, stdout, stderr)
			}
		}
	}
}

func TestHidesSecretGivenAsFileName(t *testing.T) {
	for _, variable := range []string{"ETRUSTED_CLIENT_ID", "ETRUSTED_CLIENT_SECRET"} {
		for _, secret := range []string{"CANARY-4f0c", "CANARY/Zm9v==", "/CANARY+/Zm9v", "x/../CANARY"} {
			for _, name := range []string{"serve", "config"} {
				_, stdout, stderr := invoke([]string{name}, brokertest.EnvironWithoutServers(variable+"=", variable+"_FILE="+secret)...)
				if strings.Contains(stdout+stderr, "CANARY") {
					t.Errorf("%s: %s_FILE is shown:\n%s%s", name, variable, stdout, stderr)
				}
			}
		}
	}
}

// checkNotShown reports a command whose output contains the secret, in any case. form describes how the environment has it.
func checkNotShown(t *testing.T, form, secret string, environ []string, commandLines ...string) {
	t.Helper()
	for _, commandLine := range commandLines {
		code, stdout, stderr := invoke(strings.Fields(commandLine), environ...)
		if commandLine == "config" && !strings.Contains(stdout, "BROKER_PPROF") {
			t.Errorf("%s: got exit code %d and %q, want all variables", form, code, stdout)
		}
		if text := stdout + stderr; strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("broker %s: %q is shown (%s):\n%s", commandLine, secret, form, text)
		}
	}
}
