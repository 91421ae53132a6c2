package main

import (
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

func TestRefusesInvalidPort(t *testing.T) {
	for _, variable := range []string{"BROKER_LISTEN", "BROKER_ADMIN_LISTEN"} {
		for _, port := range []string{"CANARY", "99999", "-1", "80 "} {
			code, stdout, stderr := invoke(nil, brokertest.EnvironWithoutServers(variable+"=127.0.0.1:"+port)...)
			if code != exitConfig || !slices.Equal(problemsIn(stderr), []string{variable}) || strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("%s with port %q: exit code %d and\n%s", variable, port, code, stderr)
			}
		}
	}
}

func TestConfigMasksInvalidURLs(t *testing.T) {
	for _, variable := range []string{"ETRUSTED_API_URL", "ETRUSTED_TOKEN_URL"} {
		for _, value := range []string{"https://user:CANARY word@host", "https://user:CANARY%zz@host", "user:CANARY@host", "https://CANARY@host"} {
			if _, stdout, stderr := invoke([]string{"config"}, brokertest.EnvironWithoutServers(variable+"="+value)...); strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("%s=%s is shown:\n%s%s", variable, value, stdout, stderr)
			}
		}
	}
}

func TestRefusesURLWithoutHost(t *testing.T) {
	for _, variable := range []string{"ETRUSTED_API_URL", "ETRUSTED_TOKEN_URL"} {
		if _, problems := config.Load(brokertest.EnvironWithoutServers(variable + "=https://:443")); len(problems) != 1 {
			t.Errorf("%s: %v", variable, problems)
		}
	}
}

func TestHidesSecretGivenAsFileName(t *testing.T) {
	for _, variable := range []string{"ETRUSTED_CLIENT_ID", "ETRUSTED_CLIENT_SECRET"} {
		for _, secret := range []string{"CANARY-4f0c", "CANARY/Zm9v==", "/CANARY+/Zm9v", "x/../CANARY"} {
			for _, command := range []string{"serve", "config"} {
				_, stdout, stderr := invoke([]string{command}, brokertest.EnvironWithoutServers(variable+"=", variable+"_FILE="+secret)...)
				if strings.Contains(stdout+stderr, "CANARY") {
					t.Errorf("%s: %s_FILE is shown:\n%s%s", command, variable, stdout, stderr)
				}
			}
		}
	}
}

// What echo puts at the end of a value that becomes a Kubernetes Secret.
func TestTrimsLineEndsOfCredentials(t *testing.T) {
	c, problems := config.Load(brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_ID=a-b\n", "ETRUSTED_CLIENT_SECRET=secret\r\n"))
	if len(problems) > 0 || c.ClientID.Reveal() != "a-b" || c.ClientSecret.Reveal() != "secret" {
		t.Errorf("%q, %q, %v", c.ClientID.Reveal(), c.ClientSecret.Reveal(), problems)
	}
}

func TestHealthAndWaitRequirePort(t *testing.T) {
	for _, command := range []string{"health", "wait"} {
		if code, _, stderr := ask([]string{command}, "BROKER_ADMIN_LISTEN=127.0.0.1:"); code != exitConfig {
			t.Errorf("%s: exit code %d: %s", command, code, stderr)
		}
	}
}
