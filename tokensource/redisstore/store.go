// Package redisstore shares tokens among brokers by way of a Redis or Valkey server: tokensource.Store.
//
// The store is trusted with nothing. It sees no token, no client id and no secret: all is sealed with keys made from the
// client secret. Who can write to it can keep brokers from sharing, no more: then each fetches by itself.
package redisstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"etrusted-broker/tokensource"
)

// prefix begins every key and channel, so that a store's access rules can name them.
const prefix = "etrusted-broker:"

// Config tells what a Store needs.
type Config struct {
	Options Options
	// Changed, if not nil, is told when the store stops working, and why; and with an empty problem when it works again.
	// The text is made here: it holds nothing that the store said.
	Changed func(problem string)
}

// Store is a connection to a store. All methods may be called at any time from any goroutine, except Run, which is called
// once.
type Store struct {
	client redis.UniversalClient
	health health

	mu     sync.Mutex
	places map[string][]*place // by channel
	// moved tells Run that places have changed.
	moved chan struct{}
}

// silence keeps go-redis from writing to standard error, where it would repeat what servers say.
var silence = sync.OnceFunc(func() { redis.SetLogger(mute{}) })

type mute struct{}

// Printf does nothing.
func (mute) Printf(context.Context, string, ...any) {}

// New returns a store. It does not connect: that is done when it is asked for something.
func New(config Config) *Store {
	silence()
	if config.Changed == nil {
		config.Changed = func(string) {}
	}
	return &Store{
		client: redis.NewUniversalClient(&config.Options.universal),
		health: health{changed: config.Changed},
		places: map[string][]*place{},
		moved:  make(chan struct{}, 1),
	}
}

// Entry implements tokensource.Store.
func (s *Store) Entry(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint, told func()) tokensource.Entry {
	p := &place{Store: s, seal: newSeal(pair, endpoint), told: told}
	s.move(func() { s.places[p.channel()] = append(s.places[p.channel()], p) })
	return p
}

// Close implements tokensource.Entry.
func (p *place) Close() {
	p.move(func() {
		left := make([]*place, 0, len(p.places[p.channel()]))
		for _, other := range p.places[p.channel()] {
			if other != p {
				left = append(left, other)
			}
		}
		if p.places[p.channel()] = left; len(left) == 0 {
			delete(p.places, p.channel())
		}
	})
}

func (s *Store) move(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// run has the store run a script, whose answer is a list, or a number. Whoever calls it judges whether that makes sense.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) ([]any, error) {
	if err := s.health.mayAsk(time.Now()); err != nil {
		return nil, err
	}
	brief, cancel := context.WithTimeout(ctx, opTime)
	defer cancel()
	answer, err := runScript(brief, s.client, script, keys, args)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err() // nobody's fault
	case errors.Is(err, redis.ErrClosed):
		return nil, errClosed // nor is this
	case err != nil:
		return nil, s.judge(err, time.Now())
	}
	list, ok := answer.([]any)
	if _, number := answer.(int64); !ok && !number {
		return nil, s.judge(errNonsense, time.Now())
	}
	return list, nil
}

var errClosed = errors.New("is not used any more: the broker is stopping")

// runScript makes an error of a panic: go-redis has some for answers that it does not expect.
func runScript(ctx context.Context, client redis.UniversalClient, script *redis.Script, keys []string, args []any) (answer any, err error) {
	defer func() {
		if recover() != nil {
			err = errNonsense
		}
	}()
	return script.Run(ctx, client, keys, args...).Result()
}

// judge records whether the store has done as it should, and returns what may be said of it if not.
func (s *Store) judge(err error, now time.Time) error {
	if err == nil {
		s.health.worked()
		return nil
	}
	problem := explain(err)
	s.health.failed(problem, now)
	return errors.New(problem)
}

// Problem says why the store is not used, as the end of a sentence that begins with "it"; empty while it is, or was not
// asked yet.
func (s *Store) Problem() string {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return s.health.problem
}
