package tokensource

import (
	"context"
	"time"
)

// ExpireByWallClock makes the token one that has expired by the wall clock, but not by the monotonic clock, because these clocks cannot
// diverge in a bubble.
func (s *Source) ExpireByWallClock() {
	s.publish(func(next *publishedState) {
		old := next.token
		next.token = &token{
			authorization: old.authorization, issued: old.issued, received: old.received, lifetime: old.lifetime,
			wallExpiry: time.Now().Round(0), refreshAt: old.refreshAt,
		}
	})
}

// WatchedDirs returns the directories that Run watches.
func (a *Accounts) WatchedDirs() []string { return a.watchedDirs() }

// Rescan does what Run does after a change, and waits until ctx is done.
func (a *Accounts) Rescan(ctx context.Context) bool {
	defer a.loops.Wait()
	return a.rescan(ctx)
}
