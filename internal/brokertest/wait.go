package brokertest

import (
	"testing"
	"time"
)

// Timeout is how long a test waits for what should take no time. It is generous, since the machine may be busy.
const Timeout = 30 * time.Second

// Eventually polls isTrue until it returns true, and fails the test after Timeout. what describes the condition.
func Eventually(t testing.TB, what string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Timeout); !isTrue(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", Timeout, what)
		}
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
