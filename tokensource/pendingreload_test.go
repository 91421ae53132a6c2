package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// Files that are readable again are no longer reported as unreadable.
func TestPendingReloadDescribesCurrentFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{})
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
			if pending := f.Snapshot().PendingReload; pending == nil || pending.Outcome != step.want {
				t.Errorf("%q: %+v, want %s", step.secret, pending, step.want)
			}
		}
	})
}
