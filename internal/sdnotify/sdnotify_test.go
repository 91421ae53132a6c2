package sdnotify_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"etrusted-broker/internal/sdnotify"
)

func TestNoSocket(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "30000000")
	n, err := sdnotify.New()
	if n != nil || err != nil {
		t.Errorf("got %v, %v, want nil, nil", n, err)
	}
}

func TestWatchdogInterval(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	for name, test := range map[string]struct {
		micros, pid string
		want        time.Duration
		invalid     bool
	}{
		"not set":         {"", "", 0, false},
		"only a process":  {"", pid, 0, false},
		"this process":    {"30000000", pid, 30 * time.Second, false},
		"any process":     {"30000000", "", 30 * time.Second, false},
		"another process": {"30000000", "1", 0, false},
		"minimum":         {"2000", "", 2 * time.Millisecond, false},
		"below minimum":   {"1999", "", 0, true},
		"zero":            {"0", "", 0, true},
		"negative":        {"-1", "", 0, true},
		"not a number":    {"30s", "", 0, true},
		"overflow":        {"9223372036854776", "", 0, true},
		"invalid process": {"30000000", "4x2", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NOTIFY_SOCKET", "@x")
			t.Setenv("WATCHDOG_USEC", test.micros)
			t.Setenv("WATCHDOG_PID", test.pid)
			n, err := sdnotify.New()
			if n == nil || n.WatchdogTimeout != test.want || (err != nil) != test.invalid {
				t.Errorf("got %v, %v, want %v, error %v", n.WatchdogTimeout, err, test.want, test.invalid)
			}
			if _, set := os.LookupEnv("WATCHDOG_USEC"); set {
				t.Error("WATCHDOG_USEC is still set")
			}
		})
	}
}

func TestStatusIsOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "STATUS=",
		"ok: there is a valid token":     "STATUS=ok: there is a valid token",
		"first\nREADY=1\r\n\tand\x00on ": "STATUS=first READY=1 and\x00on",
		"wrong \xff text":                "STATUS=wrong text",
	} {
		if got := sdnotify.Status(text); got != want {
			t.Errorf("Status(%q) = %q, want %q", text, got, want)
		}
	}
	for shift := range 3 {
		got := sdnotify.Status(strings.Repeat("x", shift) + strings.Repeat("…", 3000))
		if !utf8.ValidString(got) || len(got) > sdnotify.MaxStatus+len("STATUS=…") || len(got) < sdnotify.MaxStatus {
			t.Errorf("got %d bytes, valid UTF-8 %v; want about %d, valid", len(got), utf8.ValidString(got), sdnotify.MaxStatus)
		}
	}
}

func TestExtendTimeout(t *testing.T) {
	if got := sdnotify.ExtendTimeout(30*time.Second + 7*time.Microsecond); got != "EXTEND_TIMEOUT_USEC=30000007" {
		t.Errorf("got %s, want EXTEND_TIMEOUT_USEC=30000007", got)
	}
}
