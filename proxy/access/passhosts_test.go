package access_test

import (
	"strings"
	"testing"

	"etrusted-broker/proxy/access"
)

func TestPassHostsMatch(t *testing.T) {
	for patterns, targets := range map[string]map[string]bool{
		"": {"a.example:443": false},
		"integrations.etrusted.com": {
			"integrations.etrusted.com:443": true, "integrations.etrusted.com:80": true, "integrations.etrusted.com:8443": true,
			"INTEGRATIONS.etrusted.com.:443":  true,
			"a.integrations.etrusted.com:443": false, "etrusted.com:443": false, "xintegrations.etrusted.com:443": false,
			"integrations.etrusted.com": false, "integrations.etrusted.com.evil.example:443": false,
		},
		"*.example.com": {
			"a.example.com:443": true, "a.b.example.com:80": true, "A.EXAMPLE.COM.:443": true,
			"example.com:443": false, "a.example.com:8443": false, "aexample.com:443": false, ".example.com:443": false,
			"a..example.com:443": false, "a%2eexample.com:443": false, "a.example.com.evil.example:443": false,
		},
		"*.example.com:8443": {"a.example.com:8443": true, "a.example.com:443": false},
		"*": {
			"a.example:443": true, "a.example:80": true, "127.0.0.1:443": true, "[::1]:80": true, "localhost:80": true,
			"a.example:22": false, "127.1:80": false, "0x7f000001:80": false, "0x:80": false, "2130706433:443": false, "0177.0.0.1:80": false,
			"127.0.0.0x1:80": false, "a.example.1:80": false, "%31%32%37.0.0.1:80": false, "a/b:80": false, "a@b:80": false,
		},
		// A broker for another environment must not lead an app to production by accident.
		"*, *.etrusted.com": {
			"api.etrusted.com:443": false, "LOGIN.etrusted.com.:443": false, "integrations.etrusted.com:443": true,
		},
		"api.etrusted.com":     {"api.etrusted.com:443": true},
		"*:8443":               {"a.example:8443": true, "a.example:443": false},
		"127.0.0.1":            {"127.0.0.1:1": true, "127.0.0.2:1": false, "[::ffff:127.0.0.1]:1": false, "localhost:1": false},
		"::1, [::2]:80":        {"[::1]:443": true, "[0::0001]:443": true, "[::2]:80": true, "[::2]:443": false},
		"a.example, b.example": {"a.example:443": true, "b.example:443": true, "c.example:443": false},
	} {
		hosts := passHosts(t, patterns)
		for target, want := range targets {
			if got := hosts.Match(target); got != want {
				t.Errorf("%q, Match(%q): got %t, want %t", patterns, target, got, want)
			}
		}
	}
}

// Only an address that is named literally is exempt from the rules for addresses.
func TestPassHostsMatchAddress(t *testing.T) {
	hosts := passHosts(t, "*, localhost, 127.0.0.1:80, ::1, *.0.example")
	for target, want := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:443": true, "[0:0::1]:80": true,
		"127.0.0.1:443": false, "127.0.0.2:80": false, "localhost:80": false, "[::ffff:127.0.0.1]:80": false, "169.254.169.254:80": false,
	} {
		if got := hosts.ListsAddress(target); got != want {
			t.Errorf("ListsAddress(%q): got %t, want %t", target, got, want)
		}
	}
}

func TestParsePassHostsRefuses(t *testing.T) {
	for _, pattern := range []string{
		"", "https://a.example", "a.example/", "a.example/x", "a.example:", "a.example:0", "a.example:65536", "user@a.example",
		"**", "*a.example", "a.*.example", "*.", "*.*", "*every", "*:", "*.127.0.0.1", "*.[::1]", "127.1", "0x7f.1", "a b", "[::1", "fe80::1%eth0",
	} {
		if hosts, err := access.ParsePassHosts([]string{"a.example", pattern}); err == nil || pattern != "" && strings.Contains(err.Error(), pattern) && len(pattern) > 2 {
			t.Errorf("ParsePassHosts(%q): got %v, %v, want an error without the pattern", pattern, hosts, err)
		}
	}
}

func passHosts(t *testing.T, patterns string) access.PassHosts {
	t.Helper()
	if patterns == "" {
		return nil
	}
	hosts, err := access.ParsePassHosts(strings.Split(patterns, ","))
	if err != nil {
		t.Fatalf("ParsePassHosts(%q): %v", patterns, err)
	}
	return hosts
}
