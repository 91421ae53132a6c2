package redisstore

import "testing"

func TestMovedTo(t *testing.T) {
	for rest, want := range map[string]string{
		"5 127.0.0.1:7000": "127.0.0.1:7000",
		"5 ::1:7000":       "[::1]:7000",
		"5 [::1]:7000":     "[::1]:7000",
		"5 :7000":          "10.0.0.1:7000",
	} {
		if got := movedTo(rest, "10.0.0.1:1"); got != want {
			t.Errorf("%q: got %s, want %s", rest, got, want)
		}
	}
}
