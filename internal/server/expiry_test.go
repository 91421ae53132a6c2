package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
)

// A tunnel must not stay open until the directory of callers is read again anyway.
func TestEndOfAccessIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &callersReloader{reloadTrigger: filewatch.NewTrigger()}
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

// A broker runs for months: what was said only at its start would not be seen.
func TestWarnsDailyOfExpiringCertificate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs := &brokertest.LogBuffer{}
		expires := time.Now().AddDate(0, 0, 10)
		b := &broker{log: newLogger(logs, zapcore.InfoLevel, "json"), keysAndTLS: new(appKeysAndTLSReloader)}
		b.keysAndTLS.tls.Store(&tls.Config{Certificates: []tls.Certificate{{Leaf: &x509.Certificate{NotAfter: expires}}}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			b.warnExpiringDaily(ctx)
			close(ended)
		}()
		for _, test := range []struct{ day, lines int }{{3, 0}, {4, 1}, {12, 9}} { // the last week, and after it
			time.Sleep(time.Until(expires.AddDate(0, 0, test.day-10).Add(time.Minute)))
			synctest.Wait()
			if got := len(logs.Lines("the TLS certificate expires soon, or has expired: renew it")); got != test.lines {
				t.Errorf("got %d warnings after %d days, want %d", got, test.day, test.lines)
			}
		}
		stop()
		<-ended
	})
}
