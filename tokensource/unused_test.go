package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// TestUnusedCredentialsAreThoseThatAreThere holds that a file that can be read again is no longer told of as one that cannot.
func TestUnusedCredentialsAreThoseThatAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{})
		f.at(time.Second)
		for _, step := range []struct {
			id, secret string
			want       tokensource.ReloadOutcome
		}{
			{"new-id", "wrong", tokensource.ReloadRejected},
			{"new-id", "", tokensource.ReloadUnreadable},
			{"new-id", "wrong", tokensource.ReloadRejected},
		} {
			time.Sleep(2 * time.Second)
			f.change(t, step.id, step.secret)
			if unused := f.Snapshot().Unused; unused == nil || unused.Outcome != step.want {
				t.Errorf("%q: %+v, want %s", step.secret, unused, step.want)
			}
		}
	})
}
