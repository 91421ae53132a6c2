// Package redisstore shares tokens between brokers through a Redis or Valkey server: it implements tokensource.Store.
//
// The store is not trusted. It sees no token, no client ID and no secret, because all records are encrypted with keys derived
// from the client secret. An attacker who can write to it can only keep brokers from sharing: then each fetches its own token.
package redisstore

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"etrusted-broker/tokensource"
)

const (
	prefix  = "etrusted-broker:" // of every key and channel, so that a store's access rules can name them
	channel = prefix + "tokens"  // announces new tokens: a message is the name of an entry
)

// Store is a connection to a store. All methods are safe for concurrent use, except Run, which must be called at most once.
type Store struct {
	client redis.UniversalClient
	health
	entries sync.Map // the open *entry values
}

// New returns a store. It does not connect. onStateChange, if not nil, is called with the problem when the store stops working,
// and with an empty one when it works again. The text contains nothing that the store said.
func New(options Options, onStateChange func(problem string)) *Store {
	logging.Disable() // go-redis would write to standard error, and repeat what servers say
	return &Store{client: redis.NewUniversalClient(&options.universal), health: health{onStateChange: onStateChange}}
}

// Entry implements tokensource.Store.
func (s *Store) Entry(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint, onChange func()) tokensource.Entry {
	e := &entry{Store: s, sealer: newSealer(pair, endpoint), onChange: onChange}
	e.tokenKey, e.leaseKey = prefix+"{"+e.name+"}:token", prefix+"{"+e.name+"}:lease"
	s.entries.Store(e, nil)
	return e
}

// Close implements tokensource.Entry.
func (e *entry) Close() { e.entries.Delete(e) }

// Run listens for notifications of other brokers until ctx is done, and then closes the connections. Without it, or while the
// store is down, brokers look for new tokens when they are due.
func (s *Store) Run(ctx context.Context) {
	defer func() { _ = s.client.Close() }()
	for ctx.Err() == nil {
		err := s.listen(ctx)
		if refusal := redis.Error(nil); ctx.Err() == nil && !errors.As(err, &refusal) { // brokers that may not listen can still share
			_ = s.record(err) // so that no account has to find out
		}
		select {
		case <-time.After(retryPause/2 + rand.N(retryPause/2)): //nolint:gosec // G404: jitter, because all brokers lose a store at once.
		case <-ctx.Done():
		}
	}
}

// listen calls onChange for the notifications of one connection, until that breaks.
func (s *Store) listen(ctx context.Context) (err error) {
	defer recovered(&err)
	pubsub := s.client.Subscribe(ctx, channel)
	defer func() { _ = pubsub.Close() }()
	defer context.AfterFunc(ctx, func() { _ = pubsub.Close() })() // Receive ignores ctx
	for {
		message, err := pubsub.Receive(ctx)
		if err != nil {
			return err
		}
		announced, ok := message.(*redis.Message)
		if !ok {
			_ = s.record(nil)
		}
		for key := range s.entries.Range {
			// After subscribing, all entries may have changed: this broker has missed earlier messages.
			if e := key.(*entry); !ok || announced.Payload == e.name {
				e.onChange()
			}
		}
	}
}

// run runs a script that returns a list of strings.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (list []string, err error) {
	brief, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	defer func() {
		if errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, redis.ErrClosed) {
			list, err = nil, context.Canceled // the broker is stopping, which is not the store's fault
		} else {
			err = s.record(err)
		}
	}()
	defer recovered(&err)
	return script.Run(brief, s.client, keys, args...).StringSlice()
}

// recovered makes a panic an error: some replies make go-redis panic.
func recovered(err *error) {
	if recover() != nil {
		*err = errInvalidReply
	}
}

// SelfTest makes each kind of request to the store once, with an entry that no broker uses, and closes the connections. The
// error is the end of a sentence that begins with "it".
func (s *Store) SelfTest(ctx context.Context) error {
	defer func() { _ = s.client.Close() }()
	test := tokensource.NewSecret("test")
	e := s.Entry(tokensource.Credentials{ID: test, Secret: test}, tokensource.TokenEndpoint{}, func() {})
	_, err := e.Get(ctx)
	if err == nil {
		_, err = e.Acquire(ctx, tokensource.Lease{Remaining: time.Second})
		err = cmp.Or(err, e.Put(ctx, tokensource.SharedToken{AccessToken: test, FencingToken: 1, Lifetime: time.Second}))
	}
	return err
}
