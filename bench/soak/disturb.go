package soak

import (
	"context"
	"syscall"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// begin starts a disturbance and returns what ends it.
func (r *run) begin(ctx context.Context, s step) (end func() error, err error) {
	ends := func(f func()) (func() error, error) { return func() error { f(); return nil }, nil }
	nothing := func() error { return nil }
	switch s.name {
	case apiUnavailable:
		return ends(r.eTrusted.failAPI(fakeetrusted.Status(503, nil), s.share))
	case apiResets:
		return ends(r.eTrusted.failAPI(reset, s.share))
	case apiMalformed:
		return ends(r.eTrusted.failAPI(malformed, s.share))
	case apiTruncates:
		return ends(r.eTrusted.failAPI(fakeetrusted.Truncate(100), s.share))
	case apiHangs:
		return ends(r.eTrusted.failAPI(fakeetrusted.Hang(), s.share))
	case apiSlow:
		return ends(r.eTrusted.failAPI(slow(r.eTrusted, s.length/2), s.share))
	case apiDown:
		r.eTrusted.close()
		return r.eTrusted.listen, nil
	case loginUnavailable, loginOutage:
		return ends(r.eTrusted.failLogin(fakeetrusted.Status(503, nil)))
	case loginHTML:
		return ends(r.eTrusted.failLogin(html))
	case loginEchoes:
		return ends(r.eTrusted.failLogin(fakeetrusted.EchoSecret(401)))
	case loginHangs:
		return ends(r.eTrusted.failLogin(fakeetrusted.Hang()))
	case loginSlow:
		return ends(r.eTrusted.delayLogin(s.length / 2))
	case loginRejects:
		heal := r.eTrusted.failLogin(fakeetrusted.OAuthError(401, "invalid_client"))
		return func() error { heal(); return r.rotate() }, nil
	case tokensRevoked:
		// The broker does not replace a token that is younger than ten seconds because of a 401.
		if !sleep(ctx, max(0, 11*time.Second-r.eTrusted.tokenAge())) {
			return nothing, nil
		}
		r.eTrusted.Revoke()
		return nothing, nil
	case rotation:
		old := r.credentials.pair
		return func() error { r.eTrusted.RemoveClient(old.id); return nil }, r.rotate()
	case wrongRotation:
		right := r.credentials.pair
		return func() error { return r.credentials.write(right) }, r.credentials.write(r.credentials.newPair())
	case storeRestarts:
		r.store.kill()
		return r.store.start, nil
	case storeHangs:
		r.store.group.Signal(syscall.SIGSTOP)
		return ends(func() { r.store.group.Signal(syscall.SIGCONT) })
	case hangup:
		r.broker.Signal(syscall.SIGHUP)
		return nothing, nil
	}
	panic("no disturbance is called " + s.name)
}

// rotate writes a new pair, which the login server knows.
func (r *run) rotate() error {
	p := r.credentials.newPair()
	r.eTrusted.SetClient(p.id, p.secret)
	return r.credentials.write(p)
}

// disturb runs the steps of a plan until ctx is done.
func (r *run) disturb(ctx context.Context, p *planner) error {
	for {
		s := p.next()
		if !sleep(ctx, s.pause) {
			return nil
		}
		w := r.journal.open(s.kind)
		end, err := r.begin(ctx, s)
		if err != nil {
			return err
		}
		sleep(ctx, s.length)
		if err := end(); err != nil {
			return err
		}
		r.journal.close(w)
		if !sleep(ctx, s.recovery) {
			return nil
		}
	}
}

// sleep waits, and reports whether ctx is still not done.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
