package server

import (
	"sync"

	"go.uber.org/zap"

	"etrusted-broker/internal/operations"
	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
)

const (
	// maxDryRunsPerCaller is how many operations of a caller are logged: an app can invent new ones without end.
	maxDryRunsPerCaller = 200
	// maxLoggedPath is how much of an unusual path is logged.
	maxLoggedPath = 200
)

// dryRunLog logs each operation that the allow list would refuse once. log and logged must be set.
type dryRunLog struct {
	log *zap.Logger

	mu     sync.Mutex
	logged map[string]map[dryRun]bool // by caller
}

// forget forgets the operations of a caller.
func (d *dryRunLog) forget(caller string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.logged, caller)
}

// dryRun is an operation, and the code of the problem that the app would get.
type dryRun struct{ operation, code string }

// add logs a request that was forwarded only because of the dry run, unless its operation is known.
func (d *dryRunLog) add(r proxy.RequestRecord) {
	operation, usual := operations.Normalize(r.Method, r.Path)
	d.mu.Lock()
	defer d.mu.Unlock()
	logged, current := d.logged[r.Caller], dryRun{operation, r.DryRun.Code}
	if logged[current] || len(logged) > maxDryRunsPerCaller {
		return
	}
	if logged == nil {
		logged = map[dryRun]bool{}
		d.logged[r.Caller] = logged
	}
	logged[current] = true
	if len(logged) > maxDryRunsPerCaller {
		d.log.Warn("BROKER_ALLOW_MODE=warn: there are too many operations that the allow list would refuse; further ones are only counted", optional("caller", r.Caller))
		return
	}
	missing := zap.String("path", printable.Escape(r.Path, maxLoggedPath)) // the first unusual one stands for all
	if usual {
		missing = zap.String("pattern", operations.Pattern(operation))
	}
	d.log.Warn("BROKER_ALLOW_MODE=warn: the allow list would refuse this operation; logged once", optional("caller", r.Caller),
		zap.String("method", printable.Escape(r.Method, maxLoggedMethod)), missing, zap.String("code", r.DryRun.Code), zap.Int("status", r.Status))
}
