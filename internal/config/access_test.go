package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"etrusted-broker/internal/config"
)

// A caller that ignores an error must not get an invalid key.
func TestReturnsNoInvalidAccessKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("0123456789abcdef\nkey \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := config.ReadAccessKeys(file); keys != nil || err == nil {
		t.Errorf("got %d keys and the error %v, want none and an error", len(keys), err)
	}
	for _, variable := range []string{"BROKER_ACCESS_KEY=key ", "BROKER_ACCESS_KEY_FILE=" + file} {
		c, problems := config.Load([]string{"ETRUSTED_CLIENT_ID=id", "ETRUSTED_CLIENT_SECRET=secret", variable})
		if c.AccessKeys != nil || len(problems) != 1 {
			t.Errorf("%s: got %d keys and the problems %v, want none and one", variable, len(c.AccessKeys), problems)
		}
	}
}
