package tokensource

import (
	"context"
	"time"
)

// The times of a token that is shared. A broker asks the store at the times of schedule.go; these bound how long it does
// as the store says.
const (
	// leaseSpare is what a lease lasts beyond an attempt, to bring what came of it to the store.
	leaseSpare = 5 * time.Second

	// maxLeaseWait is how long a broker without a token waits at most for another's fetch, before it asks the store a last
	// time and fetches by itself. A login server mostly answers within a second, and the store has a second for that last
	// answer: so a store that claims a lease for ever costs a starting broker 5 s. A login server that takes longer gets a
	// request from each broker that has no token.
	maxLeaseWait = 4 * time.Second

	// maxLeaseWaitInOutage replaces maxLeaseWait once an attempt has failed, this broker's or another's. It is longer than
	// any lease lasts, so that a fleet that starts in an outage tries once each at most, and then takes turns.
	maxLeaseWaitInOutage = 20 * time.Second

	// pollPause is how long a broker waits, more or less, before it asks the store again whether another's attempt has
	// ended. The store tells at once, mostly; this is for the message that is lost.
	pollPause = time.Second

	// crowd is over how long brokers spread that would all act at once: those without a token when the store is away,
	// those that take up the lease when a pause is over, and those that look at a token they were told of.
	crowd = time.Second

	// aloneAgain is the least pause between two attempts that are made while the store says that it is another's turn.
	aloneAgain = time.Minute

	// releaseTime is how long a broker that is stopped waits for the store to take its lease back, or its last token.
	releaseTime = time.Second

	// enough failures in a row, of as many brokers mostly, are not the fault of one's way to the login server.
	enough = 4

	// minWorth is how long a token must live to be taken from the store: one that dies at once would have the store asked
	// in a loop without a pause.
	minWorth = minRefresh
)

// share is a pair, and the part that a loop has in its token where that is shared.
type share struct {
	pair  Credentials
	place Entry // nil: there is no store
	// alone is when this broker fetches by itself, whatever the store says; zero: that is not foreseen yet.
	alone time.Time
	// random is in [0, 1) and stays the same until there is a token, so that asking more often does not bring alone
	// nearer.
	random float64
	// rest is until when it does not do so again, since it has just done so for nothing. It does not count while the store
	// is away.
	rest time.Time
	// failures counts those in a row, whoever it was that tried.
	failures int
	// turn is when the pause after the last of them is over.
	turn time.Time
}

func (l *loop) open(pair Credentials) share {
	s := share{pair: pair, random: random()}
	if l.config.Store != nil {
		s.place = l.config.Store.Entry(pair, l.config.Endpoint, func() { signal(l.notified) })
	}
	return s
}

func (s *share) close() {
	if s.place != nil {
		s.place.Close()
	}
}

// expect foresees that this broker fetches alone at a moment, or earlier if that was foreseen.
func (s *share) expect(moment time.Time) {
	if s.alone.IsZero() || moment.Before(s.alone) {
		s.alone = moment
	}
}

// obtain gets a token: one that another broker has left in the store, or else from the login server. It reports false if
// ctx was done before.
func (l *loop) obtain(ctx context.Context, s *share, had *token) (attempt, bool) {
	if l.config.FetchSemaphore != nil {
		select {
		case l.config.FetchSemaphore <- struct{}{}:
			defer func() { <-l.config.FetchSemaphore }()
		case <-ctx.Done():
			return attempt{}, false
		}
	}
	if s.place == nil {
		return l.fetch(ctx, s.pair)
	}
	asked := time.Now()
	taken, err := l.take(ctx, s, had)
	if err == nil && taken.Token != nil && !had.yieldsTo(taken.Token) {
		err = errUnusable
	}
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return attempt{}, false // a lease that was got in this moment ends by itself
	case err == nil && taken.Token != nil:
		return l.adopt(s, taken.Token), true
	case err == nil && taken.Leased:
		return l.lead(ctx, s, had, taken.FencingToken)
	case err != nil:
		l.storeErrors.Add(1)
		s.expect(spreadAlone(had, now, s.random))
	case taken.Failure != nil && s.takesTurns(taken, had, now):
		s.alone = time.Time{}
	default:
		s.expect(later(standAlone(had, asked, s.failures, s.random), s.rest))
	}
	if !s.alone.IsZero() && !now.Before(s.alone) {
		return l.bypass(ctx, s, taken.FencingToken)
	}
	return l.wait(taken, s, now), true
}

// take asks the store for no more than a quarter of the time that is left, since what it does not give is yet to be
// fetched.
func (l *loop) take(ctx context.Context, s *share, had *token) (AcquireResult, error) {
	if now := time.Now(); had.serves(now) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, had.remaining(now)/4)
		defer cancel()
	}
	return s.place.Acquire(ctx, had.had(), l.config.Endpoint.Timeout+leaseSpare)
}

// takesTurns reports whether those who share the credentials take turns after a failure, whoever can reach the login
// server, rather than try each by itself. They do so if there is another turn in time for the token, or if so many have
// tried that it is not their way. A failure that is there after its pause, with nobody having tried since, is not believed:
// it is a replay. (Or another one has counted as much, so who has no token to lose waits for one pause more.)
func (s *share) takesTurns(taken AcquireResult, had *token, now time.Time) bool {
	if taken.Failure.Failures != s.failures || s.turn.IsZero() {
		s.turn = now.Add(min(taken.Wait, maxBackoff))
	}
	if !had.serves(now) {
		return !now.After(s.turn.Add(maxBackoff))
	}
	inTime := s.turn.Add(crowd).Before(had.issued.Add(had.lifetime * 95 / 100))
	return !now.After(s.turn) && (inTime || taken.Failure.Failures >= enough)
}

// adopt takes a token that another broker has fetched.
func (l *loop) adopt(s *share, shared *SharedToken) attempt {
	now := time.Now()
	s.succeeded()
	l.storeHits.Add(1)
	issued := now.Add(shared.Remaining - shared.Lifetime)
	return attempt{ended: now, fromPeer: true, token: &token{
		authorization: "Bearer " + shared.AccessToken.Reveal(),
		issued:        issued, received: issued, lifetime: shared.Lifetime,
		fence: shared.FencingToken, due: followerRefreshAt,
	}}
}

// lead fetches for all.
func (l *loop) lead(ctx context.Context, s *share, had *token, fence uint64) (attempt, bool) {
	got, ok := l.fetch(ctx, s.pair)
	// Should it be stopped, then another is not to wait for the end of the lease: a rolling update stops one after the
	// other.
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	var err error
	switch {
	case !ok:
		_ = s.place.Release(brief, fence, nil, 0) // then the lease ends by itself
		return got, false
	case got.failure != nil:
		s.failures++
		pause := turnPause(got.failure, s.failures, had, got.ended, random())
		s.turn = got.ended.Add(pause)
		got.next = s.turn.Add(crowd + time.Duration(random()*float64(crowd))) // the others go first
		err = s.place.Release(brief, fence, &SharedFailure{RefreshError: *got.failure, Failures: s.failures}, pause)
	default:
		s.succeeded()
		got.token.fence, got.token.leads = fence, true
		got.token.due = leaderRefreshAt
		err = s.place.Put(brief, got.token.shared())
	}
	if err != nil {
		l.storeErrors.Add(1)
	}
	return got, true
}

// bypass fetches although it is another's turn, or the store is away: then there is no fence. A token goes into the store
// all the same: others may fare worse.
func (l *loop) bypass(ctx context.Context, s *share, fence uint64) (attempt, bool) {
	got, ok := l.fetch(ctx, s.pair)
	switch {
	case !ok:
		return got, false
	case got.failure != nil:
		s.failures++
		s.alone = time.Time{}
		if fence != 0 {
			s.rest = got.ended.Add(aloneAgain + time.Duration(s.random*float64(aloneAgain)))
		}
		return got, true
	}
	s.succeeded()
	if fence != 0 {
		got.token.fence = fence
		if s.place.Put(ctx, got.token.shared()) != nil {
			l.storeErrors.Add(1)
		}
	}
	return got, true
}

// succeeded begins anew.
func (s *share) succeeded() {
	*s = share{pair: s.pair, place: s.place, random: random()}
}

// wait is an attempt that was not made.
func (l *loop) wait(taken AcquireResult, s *share, now time.Time) attempt {
	pause := pollPause/2 + time.Duration(random()*float64(pollPause))
	got := attempt{ended: now, fromPeer: true}
	switch {
	case taken.FencingToken == 0: // the store is away, and would only be in the way
		pause = s.alone.Sub(now)
	case taken.Failure != nil:
		pause = min(taken.Wait, maxBackoff) + time.Duration(random()*float64(crowd))
		failure := taken.Failure.RefreshError
		got.failure, got.failures = &failure, taken.Failure.Failures
		s.failures = taken.Failure.Failures
	}
	got.next = now.Add(pause)
	if !s.alone.IsZero() {
		got.next = earlier(got.next, later(s.alone, now.Add(minRefresh)))
	}
	return got
}

// look takes a token of which the store has told.
func (l *loop) look(ctx context.Context) {
	l.lookAt = time.Time{}
	l.lookedAt = time.Now()
	had := l.state.Load().token
	shared, err := l.share.place.Get(ctx, had.had())
	switch {
	case ctx.Err() != nil:
	case err != nil, shared != nil && !had.yieldsTo(shared):
		l.storeErrors.Add(1)
	case shared != nil:
		l.record(l.adopt(&l.share, shared), func(*state) {})
	}
}

// toldOf has the loop look. A broker that has a token takes its time: all are told at once. And whoever can write to the
// store can tell without end, so there is a pause between two looks.
func (l *loop) onNotify() {
	now := time.Now()
	lookAt := later(now, l.lookedAt.Add(minRefresh))
	if token := l.state.Load().token; token.serves(now) {
		spread := min(crowd, token.lifetime/50)
		lookAt = later(now, l.lookedAt.Add(spread)).Add(time.Duration(random() * float64(spread)))
	}
	if l.lookAt.IsZero() || lookAt.Before(l.lookAt) {
		l.lookAt = lookAt
	}
}

// had is what a token is to the store.
func (t *token) had() Known {
	now := time.Now()
	switch {
	case t == nil:
		return Known{}
	case !t.serves(now):
		return Known{FencingToken: t.fence}
	}
	return Known{FencingToken: t.fence, Remaining: t.remaining(now)}
}

// yieldsTo reports whether a token from the store may take its place. The store has been told what was had, but it has
// another clock, or is not to be trusted.
func (t *token) yieldsTo(shared *SharedToken) bool {
	had := t.had()
	return shared.isUsable() && shared.Remaining > max(had.Remaining, minWorth) && shared.FencingToken > had.FencingToken &&
		(t == nil || t.authorization != "Bearer "+shared.AccessToken.Reveal())
}

// shared is the token as the store gets it.
func (t *token) shared() SharedToken {
	return SharedToken{
		AccessToken:  NewSecret(t.authorization[len("Bearer "):]),
		FencingToken: t.fence,
		Issued:       t.issued.Round(0),
		Lifetime:     t.lifetime,
	}
}
