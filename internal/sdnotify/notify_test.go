package sdnotify_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"etrusted-broker/internal/sdnotify"
)

const pid = 42

func TestNobodyToTell(t *testing.T) {
	for name, environ := range map[string][]string{
		"no variables":      {"PATH=/bin", "nonsense"},
		"an empty variable": {"NOTIFY_SOCKET="},
		"a watchdog alone":  {"WATCHDOG_USEC=30000000", "WATCHDOG_PID=42"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := sdnotify.New(environ, pid)
			if n != nil || err != nil {
				t.Fatalf("%v, %v", n, err)
			}
			if err := n.Send(sdnotify.Ready); err != nil || n.Watchdog() != 0 {
				t.Errorf("%v, %v", err, n.Watchdog())
			}
		})
	}
}

func TestMalformedSocket(t *testing.T) {
	for name, socket := range map[string]string{
		"relative":                "CANARY/notify",
		"of another family":       "vsock:2:CANARY",
		"the root":                "/",
		"a name that is none":     "@",
		"longer than may be":      "/" + strings.Repeat("CANARY", 18),
		"a name longer than that": "@" + strings.Repeat("CANARY", 18),
	} {
		t.Run(name, func(t *testing.T) {
			n, err := sdnotify.New([]string{"NOTIFY_SOCKET=" + socket}, pid)
			if n != nil || err == nil || !strings.HasPrefix(err.Error(), "NOTIFY_SOCKET must be") || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%v, %v", n, err)
			}
		})
	}
	if n, err := sdnotify.New([]string{"NOTIFY_SOCKET=/" + strings.Repeat("x", 106)}, pid); n == nil || err != nil {
		t.Errorf("the longest path: %v, %v", n, err)
	}
}

func TestWatchdog(t *testing.T) {
	for name, test := range map[string]struct {
		micros, pid string
		want        time.Duration
		says        string
	}{
		"none":                    {"", "", 0, ""},
		"none, but a process":     {"", "42", 0, ""},
		"for this process":        {"30000000", "42", 30 * time.Second, ""},
		"for whoever it is":       {"30000000", "", 30 * time.Second, ""},
		"for another process":     {"30000000", "43", 0, ""},
		"the least":               {"2000", "", 2 * time.Millisecond, ""},
		"the most":                {"9223372036854774", "", 9223372036854774 * time.Microsecond, ""},
		"less than the least":     {"1999", "", 0, "WATCHDOG_USEC must be a number of microseconds"},
		"nothing":                 {"0", "", 0, "WATCHDOG_USEC must be"},
		"negative":                {"-1", "", 0, "WATCHDOG_USEC must be"},
		"no number":               {"30s", "", 0, "WATCHDOG_USEC must be"},
		"more than a duration is": {"9223372036854775", "", 0, "WATCHDOG_USEC must be"},
		"infinity":                {"18446744073709551615", "", 0, "WATCHDOG_USEC must be"},
		"more than a number is":   {"99999999999999999999", "", 0, "WATCHDOG_USEC must be"},
		"no process":              {"30000000", "4x2", 0, "WATCHDOG_PID must be"},
		"a negative process":      {"30000000", "-42", 0, "WATCHDOG_PID must be"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := sdnotify.New([]string{"NOTIFY_SOCKET=@x", "WATCHDOG_USEC=" + test.micros, "WATCHDOG_PID=" + test.pid}, pid)
			if n == nil || n.Watchdog() != test.want {
				t.Errorf("%v instead of %v", n.Watchdog(), test.want)
			}
			if (err == nil) != (test.says == "") || err != nil && !strings.HasPrefix(err.Error(), test.says) {
				t.Errorf("error %v", err)
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
		if got := sdnotify.Status(text); string(got) != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
	for shift := range 3 {
		got := string(sdnotify.Status(strings.Repeat("x", shift) + strings.Repeat("…", 3000)))
		if !utf8.ValidString(got) || len(got) > sdnotify.MaxStatus+len("STATUS=…") || len(got) < sdnotify.MaxStatus {
			t.Errorf("%d bytes, valid: %v", len(got), utf8.ValidString(got))
		}
	}
}

func TestExtend(t *testing.T) {
	if got := sdnotify.ExtendTimeout(30*time.Second + 7*time.Microsecond); got != "EXTEND_TIMEOUT_USEC=30000007" {
		t.Error(got)
	}
}
