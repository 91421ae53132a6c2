package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

// Without the file api_url, an account of QA would use production; without the file allow, a caller may do everything.
func TestWarnsAboutMisspeltFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		known []string
		want  string // the suggestion; empty without a warning
	}{
		"api-url":       {accountFiles, "api_url"},
		"apiurl":        {accountFiles, "api_url"},
		"API_URL":       {accountFiles, "api_url"},
		"scope":         {accountFiles, "scopes"},
		"clientsecret":  {accountFiles, "client_secret"},
		"client_secret": {accountFiles, ""},
		"notes":         {accountFiles, ""},
		"..data":        {accountFiles, ""},
		"README":        {accountFiles, ""},
		"alow":          {callerFiles, "allow"},
		"allow~":        {callerFiles, ""}, // an editor's backup
		"account":       {callerFiles, "accounts"},
		"keys":          {callerFiles, "key"},
		"expires":       {callerFiles, ""},
		"env":           {callerFiles, ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("CANARY"), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		b := &broker{log: newLogger(&log, zapcore.InfoLevel, "json")}
		b.warnMisspeltFiles(dir, test.known)
		got := log.String()
		if strings.Contains(got, "CANARY") || test.want == "" && got != "" ||
			test.want != "" && (strings.Count(got, "\n") != 1 || !strings.Contains(got, name+" is not a file that the broker reads; did you mean "+test.want+"?")) {
			t.Errorf("%s: got %q, want the suggestion %q", name, got, test.want)
		}
	}
}
