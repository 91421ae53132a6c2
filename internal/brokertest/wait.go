package brokertest

import (
	"testing"
	"time"
)

// Timeout is how long a test waits for what should take no time. It is generous, since the machine may be busy.
const Timeout = 30 * time.Second

// Eventually polls isTrue until it returns true, and fails the test after Timeout. what describes the condition. The longer it has
// waited, the longer it pauses: on a busy machine, polling takes the time that the broker needs.
func Eventually(t testing.TB, what string, isTrue func() bool) {
	t.Helper()
	for began := time.Now(); !isTrue(); {
		waited := time.Since(began)
		if waited > Timeout {
			t.Fatalf("not after %v: %s", Timeout, what)
		}
		time.Sleep(min(2*time.Millisecond+waited/20, 50*time.Millisecond))
	}
}

// Receive returns the next value of a channel, and fails the test after Timeout. what describes the value.
func Receive[T any](t testing.TB, what string, values <-chan T) T {
	t.Helper()
	select {
	case value := <-values:
		return value
	case <-time.After(Timeout):
		t.Fatalf("not after %v: %s", Timeout, what)
		panic("unreachable")
	}
}
