package localca_test

import (
	"strings"
	"testing"

	"etrusted-broker/proxy/localca"
)

func TestAllowsHost(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), api, "Kiosk.example.:8443", "127.0.0.1:9000", "[::1]", "[2001:DB8::1]")
	for _, target := range []string{
		"api.etrusted.com:443", "API.Etrusted.COM:443", "api.etrusted.com.:443", "api.etrusted.com:80", "[::1]:80",
		"kiosk.example:8443", "KIOSK.EXAMPLE.:8443",
		"127.0.0.1:9000", "127.0.0.1.:9000", "[::1]:443", "[0:0::1]:443", "[2001:db8::1]:443",
	} {
		if !a.AllowsHost(target) {
			t.Errorf("AllowsHost(%q) = false, want true", target)
		}
	}
	for _, target := range []string{
		"", ":", ":443", "api.etrusted.com", "api.etrusted.com:", "kiosk.example:80", "127.0.0.1:80", "api.etrusted.com:8443",
		"api.etrusted.com:0443", "api.etrusted.com:+443", "api.etrusted.com:443 ", " api.etrusted.com:443",
		"api.etrusted.com:65979", "api.etrusted.com:https", "api.etrusted.com:443:443", "api.etrusted.com:\u0664\u0664\u0663",
		"api.etrusted.com..:443", ".api.etrusted.com:443", "a.api.etrusted.com:443", "etrusted.com:443",
		"api.etrusted.com.evil.example:443", "evil.example:443", "evil.example:443#api.etrusted.com:443",
		"user@api.etrusted.com:443", "https://api.etrusted.com:443", "api.etrusted.com:443/", "api.etrusted.com/:443",
		"api.etrusted.com%00:443", "api.etrusted.com\x00:443", "api.etrusted.com\r\n:443", "api%2eetrusted.com:443",
		"[api.etrusted.com]:443", "api\u3002etrusted.com:443", "\u212Aiosk.example:8443", "kiosk.example:443",
		"127.0.0.1:443", "127.1:9000", "0x7f.0.0.1:9000", "2130706433:9000", "[::ffff:127.0.0.1]:9000", "[127.0.0.1]:9000",
		"::1", "::1:443", "[::1]", "[::1]:", "[::1]443", "[::1%lo]:443", "[::1]]:443", "[[::1]]:443", "[::1:443",
	} {
		if a.AllowsHost(target) {
			t.Errorf("AllowsHost(%q) = true, want false", target)
		}
	}
}

func TestRejectsInvalidHosts(t *testing.T) {
	t.Parallel()
	for _, hosts := range [][]string{
		{""}, {api, ""}, {"."}, {"https://api.etrusted.com"}, {"api.etrusted.com:"}, {"api.etrusted.com:0"}, {"api.etrusted.com:0443"}, {"api.etrusted.com:65536"},
		{"api.etrusted.com/"}, {"b\u00fccher.example"}, {"::1"}, {"[fe80::1%eth0]"},
	} {
		dir := inMemory(t)
		if _, err := localca.OpenOrCreate(dir, hosts); err == nil || !strings.Contains(err.Error(), "host") {
			t.Errorf("Open(%q): %v, want an error about the host", hosts, err)
		}
		if names := list(t, dir); len(names) > 0 {
			t.Errorf("Open(%q) created %v, want nothing", hosts, names)
		}
	}
}

func FuzzAllowsHost(f *testing.F) {
	a := open(f, inMemory(f), both...)
	for _, seed := range []string{
		"api.etrusted.com:443", "LOGIN.etrusted.com.:443", "api.etrusted.com:80", "evil.example:443", "[api.etrusted.com]:443", "api.etrusted.com:443\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		want := false
		for _, allowed := range []string{"api.etrusted.com", "api.etrusted.com.", "login.etrusted.com", "login.etrusted.com."} {
			want = want || equalASCIIFold(target, allowed+":443") || equalASCIIFold(target, allowed+":80")
		}
		if a.AllowsHost(target) != want {
			t.Errorf("AllowsHost(%q) = %v, want %v", target, !want, want)
		}
	})
}

// equalASCIIFold ignores only ASCII case, unlike strings.EqualFold, and shares no code with the implementation.
func equalASCIIFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		isOther := lower[i] >= 'a' && lower[i] <= 'z' && s[i] == lower[i]-'a'+'A'
		if s[i] != lower[i] && !isOther {
			return false
		}
	}
	return true
}
