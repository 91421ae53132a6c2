package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"etrusted-broker/tokensource"
)

// place is where the token of one pair is.
type place struct {
	*Store
	seal seal
	told func()
}

func (p *place) tokenKey() string { return prefix + "{" + p.seal.name + "}:token" }
func (p *place) leaseKey() string { return prefix + "{" + p.seal.name + "}:lease" }
func (p *place) channel() string  { return prefix + "{" + p.seal.name + "}:new" }

// Get implements tokensource.Entry.
func (p *place) Get(ctx context.Context, had tokensource.Known) (*tokensource.SharedToken, error) {
	taken, err := p.Acquire(ctx, had, 0)
	return taken.Token, err
}

// Acquire implements tokensource.Entry.
func (p *place) Acquire(ctx context.Context, had tokensource.Known, lease time.Duration) (tokensource.AcquireResult, error) {
	taken, useless, err := p.take(ctx, had, lease)
	if useless != 0 {
		// Somebody has put something there that is no token, or one that is no better by the clock here. It counts as one
		// that is had, and is overwritten.
		had.FencingToken = useless
		if taken, useless, err = p.take(ctx, had, lease); useless != 0 {
			return tokensource.AcquireResult{}, errSealed
		}
	}
	return taken, err
}

func (p *place) take(ctx context.Context, had tokensource.Known, lease time.Duration) (taken tokensource.AcquireResult, useless uint64, err error) {
	answer, err := p.run(ctx, takeScript, []string{p.tokenKey(), p.leaseKey()},
		had.FencingToken, had.Remaining.Milliseconds(), lease.Milliseconds())
	if err != nil {
		return taken, 0, err
	}
	now := time.Now()
	reply := fields{all: answer}
	switch reply.text() {
	case "token":
		fence, sealed, left := reply.fence(), reply.text(), reply.duration()
		if err := p.judge(reply.err(), now); err != nil {
			return taken, 0, err
		}
		token, err := p.seal.openToken([]byte(sealed), now)
		if err != nil || token.FencingToken != fence {
			return taken, fence, nil
		}
		if token.Remaining = min(token.Remaining, left); token.Remaining <= had.Remaining {
			return taken, fence, nil
		}
		return tokensource.AcquireResult{Token: token}, 0, nil
	case "lease":
		taken = tokensource.AcquireResult{FencingToken: reply.fence(), Leased: true}
	case "taken":
		taken.FencingToken = reply.fence()
		holder := reply.text()
		taken.Wait = reply.duration()
		if sealed, failed := strings.CutPrefix(holder, "failed:"); failed {
			taken.Failure, _ = p.seal.openFailure([]byte(sealed), now) // what cannot be read is no reason
		}
	case "nothing":
	default:
		reply.bad = true
	}
	return taken, 0, p.judge(reply.err(), now)
}

// Put implements tokensource.Entry.
func (p *place) Put(ctx context.Context, token tokensource.SharedToken) error {
	// By the store's clock the token's time began when its fence was given, which was before it was asked for.
	ends := token.FencingToken/1000 + uint64(token.Lifetime.Milliseconds()) //nolint:gosec // G115: a lifetime is positive.
	_, err := p.run(ctx, putScript, []string{p.tokenKey(), p.leaseKey()},
		token.FencingToken, p.seal.sealToken(token), ends, p.channel())
	if err != nil {
		return err
	}
	return p.judge(nil, time.Now())
}

// Release implements tokensource.Entry.
func (p *place) Release(ctx context.Context, fence uint64, failure *tokensource.SharedFailure, pause time.Duration) error {
	var why []byte
	if failure != nil {
		why = p.seal.sealFailure(*failure, time.Now())
	} else {
		pause = 0
	}
	_, err := p.run(ctx, releaseScript, []string{p.leaseKey()}, fence, why, pause.Milliseconds())
	if err != nil {
		return err
	}
	return p.judge(nil, time.Now())
}

// fields reads a script's answer, which is outside bytes: after the first field that is not what it should be, all are
// zero.
type fields struct {
	all []any
	bad bool
}

func (f *fields) next() any {
	if f.bad || len(f.all) == 0 {
		f.bad = true
		return nil
	}
	next := f.all[0]
	f.all = f.all[1:]
	return next
}

// maxText bounds a text: a token is a few kB, sealed or not.
const maxText = 1 << 20

func (f *fields) text() string {
	text, ok := f.next().(string)
	if !ok || len(text) > maxText {
		f.bad = true
		return ""
	}
	return text
}

func (f *fields) fence() uint64 {
	fence, err := strconv.ParseUint(f.text(), 10, 53) // Lua counts with doubles
	if err != nil || fence == 0 {
		f.bad = true
		return 0
	}
	return fence
}

func (f *fields) duration() time.Duration {
	const most = int64(48 * time.Hour / time.Millisecond)
	milliseconds, ok := f.next().(int64)
	if !ok || milliseconds < 0 || milliseconds > most {
		f.bad = true
		return 0
	}
	return time.Duration(milliseconds) * time.Millisecond
}

func (f *fields) err() error {
	if f.bad {
		return errNonsense
	}
	return nil
}
