package sdnotify

import (
	"context"
	"time"
)

// Beat calls alive now and every half of timeout, as sd_watchdog_enabled(3) advises, but only once works has returned:
// as long as that hangs there is no beat, and no second call of it. It returns when ctx is done, whatever hangs.
func RunWatchdog(ctx context.Context, timeout time.Duration, works, alive func()) {
	ticker := time.NewTicker(timeout / 2)
	defer ticker.Stop()
	for {
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			works()
		}()
		select {
		case <-returned:
			alive()
		case <-ctx.Done():
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
