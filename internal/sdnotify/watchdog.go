package sdnotify

import (
	"context"
	"time"
)

// RunWatchdog calls check and then alive, now and every timeout/2, as sd_watchdog_enabled(3) advises. While check
// blocks, it calls neither of them. It returns when ctx is done, even if check still blocks.
func RunWatchdog(ctx context.Context, timeout time.Duration, check, alive func()) {
	ticker := time.NewTicker(timeout / 2)
	defer ticker.Stop()
	for {
		checked := make(chan struct{})
		go func() {
			defer close(checked)
			check()
		}()
		select {
		case <-checked:
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
