package redisstore

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]struct {
		addresses            []string
		user, password       string
		master, sentinelUser string
		sentinelPassword     string
		db                   int
		clear                bool
	}{
		"redis://localhost":                      {addresses: []string{"localhost:6379"}},
		"redis://127.0.0.1:7000/":                {addresses: []string{"127.0.0.1:7000"}},
		"REDIS://[::1]/2":                        {addresses: []string{"[::1]:6379"}, db: 2},
		"redis://store.internal:6380/15":         {addresses: []string{"store.internal:6380"}, db: 15, clear: true},
		"redis://:p%40ss%2F%23@10.0.0.1":         {addresses: []string{"10.0.0.1:6379"}, password: "p@ss/#", clear: true},
		"rediss://u:p@store":                     {addresses: []string{"store:6379"}, user: "u", password: "p"},
		"redis://localhost?addr=store":           {addresses: []string{"localhost:6379", "store:6379"}, clear: true},
		"rediss://a:1?addr=b:2&addr=%5B::2%5D:3": {addresses: []string{"a:1", "b:2", "[::2]:3"}},
		"redis://su:sp@localhost:26379/4?master_name=shop&username=u&password=p%26": {
			addresses: []string{"localhost:26379"}, user: "u", password: "p&", master: "shop", sentinelUser: "su", sentinelPassword: "sp", db: 4},
		"unix:///run/redis/redis.sock": {addresses: []string{"/run/redis/redis.sock"}},
		"unix://u:p@/run/a%20b":        {addresses: []string{"/run/a b"}, user: "u", password: "p"},
	} {
		got, err := ParseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !slices.Equal(got.addresses, want.addresses) || got.server != (login{want.user, want.password}) || got.master != want.master ||
			got.sentinel != (login{want.sentinelUser, want.sentinelPassword}) || got.database != want.db || got.Plaintext != want.clear {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "localhost", "localhost:6379", "http://localhost", "redis:localhost", "redis:", "redis://", "redis:///0",
		"redis://:6379", "redis://host:0", "redis://host:port", "redis://host/x", "redis://host/-1",
		"redis://host/0/1", "redis://host/99999999999999999999", "redis://host#", "redis://host#x", "redis://u:p#ss@host", "redis://u:p%zz@host",
		"redis://u:p ss@host", "redis://a:1,b:2", "redis://]", "redis://a?addr=", "redis://a?addr=b:x", "redis://a?addr=u:p@b",
		"redis://a?addr=redis://b", "redis://a/1?addr=b", "redis://a?skip_verify=true", "redis://a?protocol=3", "redis://a?a;b",
		"redis://a?%zz", "redis://a\x00",
		"unix://host/path", "unix://", "unix:///path?addr=b", "unix:///path?db=1", "unix:path", "file:///path",
	} {
		got, err := ParseURL(text)
		if err == nil && strings.TrimSuffix(text, "#") == text { // Go takes an empty fragment for none
			t.Errorf("%q: %+v", text, got)
		}
		if err != nil && got.addresses != nil {
			t.Errorf("%q: options besides the error", text)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"redis://localhost", "rediss://user:secret@host:1/2?addr=a:1", "redis://s:p@h?master_name=m&username=u&password=p",
		"unix:///run/x", "redis://u:pa#ss@h", "redis://u:%@h", "redis://[::1%25eth0]:1", "redis://a?addr=%00", "redis://a b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		options, err := ParseURL(text)
		if err == nil {
			if len(options.addresses) == 0 {
				t.Errorf("%q: %+v", text, options)
			}
			for _, address := range options.addresses {
				_, port, err := net.SplitHostPort(address)
				if !strings.HasPrefix(address, "/") && (err != nil || port == "" || port == "0") {
					t.Errorf("%q: address %q", text, address)
				}
			}
			return
		}
		if !errors.Is(err, errInvalidURL) { // which contains nothing of the text
			t.Errorf("%q: got %v, want %v", text, err, errInvalidURL)
		}
	})
}
