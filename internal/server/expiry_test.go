package server

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
)

// A tunnel must not stay open until the directory of callers is read again anyway.
func TestEndOfAccessIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &callerDirectory{reloadTrigger: filewatch.NewTrigger()}
		begin := time.Now()
		callers := []*access.Caller{
			{Name: "late", Expires: begin.Add(2 * time.Minute)}, {Name: "soon", Expires: begin.Add(time.Minute)},
			{Name: "never"}, {Name: "past", Expires: begin.Add(-time.Minute)},
		}
		for _, want := range []time.Duration{time.Minute, 2 * time.Minute} {
			d.awaitExpiry(callers)
			<-d.reloadTrigger
			if got := time.Since(begin); got != want {
				t.Errorf("got a reading after %v, want it after %v", got, want)
			}
		}
		d.awaitExpiry(callers)
		time.Sleep(time.Hour)
		d.awaitExpiry([]*access.Caller{{Name: "soon", Expires: time.Now().Add(time.Minute)}})
		d.awaitExpiry(nil) // it was removed
		time.Sleep(time.Hour)
		if len(d.reloadTrigger) > 0 {
			t.Error("got a reading although no access ends, want none")
		}
	})
}
