package unixsocket

import (
	"context"
	"os"
	"time"
)

// lockTime bounds how long to wait for others. A broker holds the lock for little more than probeTime; but everybody who
// may read the folder can hold it for ever, and must not be able to keep the broker from starting or from ending.
const lockTime = 2 * time.Second

// lock waits until nobody else holds the folder, and holds it until the function is called that is returned. The lock is
// for those who ask for it, and goes with the process: none is left behind by one that was killed. Where the file system
// has no locks, or the time is over, it is done without.
func lock(ctx context.Context, folder *os.Root) (unlock func()) {
	file, err := folder.Open(".")
	if err != nil {
		return func() {}
	}
	unlock = func() { _ = file.Close() } // which gives up the lock too
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for tryLock(file) == busy {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return unlock
		}
	}
	return unlock
}

// outcome is that of an attempt to lock.
type outcome int

const (
	locked      outcome = iota
	busy                // another holds it
	unsupported         // not here
)
