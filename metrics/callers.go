package metrics

import "sync/atomic"

// NoCaller is the caller label of requests whose caller is unknown, or was removed. It is not a valid name of a caller.
const NoCaller = "-"

// callerDenials has the counts of one caller that belong to no account. Like accountCounts, it may be written to after its
// deletion.
type callerDenials struct {
	denied map[string]*atomic.Uint64 // by reason
	dryRun atomic.Uint64
}

// AddCaller adds the series of a caller, unless it has them.
func (m *Metrics) AddCaller(name string) {
	m.callers.LoadOrStore(name, &callerDenials{denied: newCounters(m.config.DenialReasons)})
}

// DeleteCaller removes a caller's series. Its requests that end later count as NoCaller's. Counts and Denied keep those that
// have ended.
func (m *Metrics) DeleteCaller(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, known := m.callers.LoadAndDelete(name)
	if !known {
		return
	}
	for reason, counter := range value.(*callerDenials).denied {
		m.removed.denied[reason].Add(counter.Load())
	}
	m.removed.dryRun.Add(value.(*callerDenials).dryRun.Load())
	m.accounts.Range(func(_, value any) bool {
		a := value.(*accountCounts)
		if counts, had := a.requests.LoadAndDelete(name); had {
			a.removed = a.removed.Plus(counts.(*requestCounts).counts())
		}
		return true
	})
}

// knownCaller returns a caller that AddCaller has added, or else NoCaller, and its counts.
func (m *Metrics) knownCaller(name string) (label string, counts *callerDenials) {
	value, known := m.callers.Load(name)
	if !known {
		name = NoCaller
		value, _ = m.callers.Load(name)
	}
	return name, value.(*callerDenials)
}

// requestCountsOf returns the counts of a caller's requests with an account. They are created with its first request: most callers
// use few of the accounts.
func (m *Metrics) requestCountsOf(a *accountCounts, caller string) *requestCounts {
	label, _ := m.knownCaller(caller)
	value, found := a.requests.Load(label)
	if !found {
		m.mu.Lock() // so that the series of a caller that is just being deleted do not come back
		defer m.mu.Unlock()
		label, _ = m.knownCaller(caller)
		value, _ = a.requests.LoadOrStore(label, new(requestCounts))
	}
	return value.(*requestCounts)
}

// Denied returns the counts of refused requests by reason, and the number of those that the allow list would have refused, of all
// callers.
func (m *Metrics) Denied() (byReason map[string]uint64, dryRun uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	byReason, dryRun = map[string]uint64{}, m.removed.dryRun.Load()
	addCounters(byReason, m.removed.denied)
	m.callers.Range(func(_, value any) bool {
		addCounters(byReason, value.(*callerDenials).denied)
		dryRun += value.(*callerDenials).dryRun.Load()
		return true
	})
	return byReason, dryRun
}

// ObserveDenied counts a refusal without a request to the API, such as that of a connection. A caller that AddCaller has not added
// counts as NoCaller. Reasons not in Config.DenialReasons are ignored.
func (m *Metrics) ObserveDenied(name, reason string) {
	_, counts := m.knownCaller(name)
	if counter, known := counts.denied[reason]; known {
		counter.Add(1)
	}
}
