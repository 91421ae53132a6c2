package metrics

import "sync/atomic"

// NoCaller is the caller label of requests whose caller is unknown, or was removed. It is not a valid name of a caller.
const NoCaller = "-"

// callerCounts has the counts of one caller that belong to no account. Like account, it may still be written to once it was deleted.
type callerCounts struct {
	denied map[string]*atomic.Uint64 // by reason
	dryRun atomic.Uint64
}

// AddCaller adds the series of a caller, unless it has them.
func (m *Metrics) AddCaller(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.callers.LoadOrStore(name, &callerCounts{denied: newCounters(m.denialReasons)})
	m.accounts.Range(func(_, value any) bool {
		value.(*account).requests.LoadOrStore(name, new(requestCounts))
		return true
	})
}

// DeleteCaller removes a caller's series. Its requests that end later count as those of NoCaller.
func (m *Metrics) DeleteCaller(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.callers.Delete(name)
	m.accounts.Range(func(_, value any) bool {
		value.(*account).requests.Delete(name)
		return true
	})
}

// Denied returns the counts of refused requests by reason, of all callers.
func (m *Metrics) Denied() map[string]uint64 {
	counts := map[string]uint64{}
	m.callers.Range(func(_, value any) bool {
		for reason, counter := range value.(*callerCounts).denied {
			counts[reason] += counter.Load()
		}
		return true
	})
	return counts
}

// DeniedDryRun returns the number of requests that the allow list would have refused, of all callers.
func (m *Metrics) DeniedDryRun() (count uint64) {
	m.callers.Range(func(_, value any) bool {
		count += value.(*callerCounts).dryRun.Load()
		return true
	})
	return count
}

// ObserveDenied counts a refusal without a request to the API, such as that of a connection. A caller that AddCaller has not added
// counts as NoCaller. Reasons not in Config.DenialReasons are ignored.
func (m *Metrics) ObserveDenied(name, reason string) {
	if counter, known := m.caller(name).denied[reason]; known {
		counter.Add(1)
	}
}

// caller returns the counts of a caller, or else those of NoCaller.
func (m *Metrics) caller(name string) *callerCounts {
	value, known := m.callers.Load(name)
	if !known {
		value, _ = m.callers.Load(NoCaller)
	}
	return value.(*callerCounts)
}
