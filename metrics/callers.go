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
	m.callers.LoadOrStore(name, &callerCounts{denied: newCounters(m.denialReasons)})
}

// DeleteCaller removes a caller's series. Its requests that end later count as NoCaller's. Counts, Denied and
// DeniedDryRun keep those that have ended.
func (m *Metrics) DeleteCaller(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, known := m.callers.LoadAndDelete(name)
	if !known {
		return
	}
	for reason, counter := range value.(*callerCounts).denied {
		m.removed.denied[reason].Add(counter.Load())
	}
	m.removed.dryRun.Add(value.(*callerCounts).dryRun.Load())
	m.accounts.Range(func(_, value any) bool {
		a := value.(*account)
		if counts, had := a.requests.LoadAndDelete(name); had {
			a.removed = a.removed.Plus(counts.(*requestCounts).counts())
		}
		return true
	})
}

// requestsOf returns the counts of a caller's requests with an account. They are created with its first request: most callers use few
// of the accounts.
func (m *Metrics) requestsOf(a *account, caller string) *requestCounts {
	value, found := a.requests.Load(m.callerLabel(caller))
	if !found {
		m.mu.Lock() // so that the series of a caller that is just being deleted do not come back
		defer m.mu.Unlock()
		value, _ = a.requests.LoadOrStore(m.callerLabel(caller), new(requestCounts))
	}
	return value.(*requestCounts)
}

// callerLabel returns a caller that AddCaller has added, and NoCaller for any other.
func (m *Metrics) callerLabel(caller string) string {
	if _, exists := m.callers.Load(caller); !exists {
		return NoCaller
	}
	return caller
}

// Denied returns the counts of refused requests by reason, of all callers.
func (m *Metrics) Denied() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[string]uint64{}
	for reason, counter := range m.removed.denied {
		counts[reason] = counter.Load()
	}
	m.callers.Range(func(_, value any) bool {
		for reason, counter := range value.(*callerCounts).denied {
			counts[reason] += counter.Load()
		}
		return true
	})
	return counts
}

// DeniedDryRun returns the number of requests that the allow list would have refused, of all callers.
func (m *Metrics) DeniedDryRun() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := m.removed.dryRun.Load()
	m.callers.Range(func(_, value any) bool {
		count += value.(*callerCounts).dryRun.Load()
		return true
	})
	return count
}

// ObserveDenied counts a refusal without a request to the API, such as that of a connection. A caller that AddCaller has not added
// counts as NoCaller. Reasons not in Config.DenialReasons are ignored.
func (m *Metrics) ObserveDenied(name, reason string) {
	if counter, known := m.callerCountsOf(name).denied[reason]; known {
		counter.Add(1)
	}
}

// callerCountsOf returns the counts of a caller, or else of NoCaller.
func (m *Metrics) callerCountsOf(name string) *callerCounts {
	value, known := m.callers.Load(name)
	if !known {
		value, _ = m.callers.Load(NoCaller)
	}
	return value.(*callerCounts)
}
