package redisstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// silenceTime is how long the connection on which the store tells of new tokens may be silent before it is asked whether
// it still stands.
const silenceTime = 30 * time.Second

// Run listens for what other brokers tell of, until ctx is done, and then closes the connections. Without it, or while the
// store is away, brokers look by themselves.
func (s *Store) Run(ctx context.Context) {
	defer func() { _ = s.client.Close() }()
	select {
	case <-s.moved: // no connection before there is something to hear
	case <-ctx.Done():
		return
	}
	for pause := minPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		if s.listen(ctx) {
			pause = minPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// listen hears what one connection tells, until it breaks, and reports whether it told anything.
func (s *Store) listen(ctx context.Context) (heard bool) {
	pubsub := s.client.Subscribe(ctx)
	ctx, cancel := context.WithCancel(ctx)
	var subscribing sync.WaitGroup
	subscribing.Go(func() { s.subscribe(ctx, pubsub) })
	defer subscribing.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = pubsub.Close() }) // which ends the wait below
	defer stop()
	defer func() { _ = pubsub.Close() }()
	for asked := false; ; {
		message, err := receive(ctx, pubsub)
		var timeout net.Error
		switch {
		case err == nil:
			asked, heard = false, true
		case asked, !errors.As(err, &timeout), !timeout.Timeout(), pubsub.Ping(ctx) != nil:
			// What breaks the connection is judged, so that nobody who needs a token has to find it out. A refusal is not:
			// whoever may not listen can share all the same.
			if refusal := redis.Error(nil); ctx.Err() == nil && !errors.As(err, &refusal) {
				_ = s.judge(err, time.Now())
			}
			return heard
		default:
			asked = true
		}
		switch message := message.(type) {
		case *redis.Message:
			s.tell(message.Channel)
		case *redis.Subscription:
			s.health.worked()
			s.tell(message.Channel) // of what was told before, nobody heard
		}
	}
}

// receive waits for a message. It makes an error of a panic: go-redis has one for each message that it does not expect.
func receive(ctx context.Context, pubsub *redis.PubSub) (message any, err error) {
	defer func() {
		if recover() != nil {
			err = errNonsense
		}
	}()
	return pubsub.ReceiveTimeout(ctx, silenceTime)
}

// subscribe keeps the subscriptions what the places want, until ctx is done. An error is for the receiver to see.
func (s *Store) subscribe(ctx context.Context, pubsub *redis.PubSub) {
	subscribed := map[string]bool{}
	for {
		added, gone := s.difference(subscribed)
		if len(added) > 0 {
			_ = pubsub.Subscribe(ctx, added...)
		}
		if len(gone) > 0 {
			_ = pubsub.Unsubscribe(ctx, gone...)
		}
		select {
		case <-s.moved:
		case <-ctx.Done():
			return
		}
	}
}

// difference brings a set of channels up to what the places want, and returns what has changed.
func (s *Store) difference(subscribed map[string]bool) (added, gone []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel := range s.places {
		if !subscribed[channel] {
			added = append(added, channel)
			subscribed[channel] = true
		}
	}
	for channel := range subscribed {
		if s.places[channel] == nil {
			gone = append(gone, channel)
			delete(subscribed, channel)
		}
	}
	return added, gone
}

// tell tells the places of a channel.
func (s *Store) tell(channel string) {
	s.mu.Lock()
	places := s.places[channel]
	s.mu.Unlock()
	for _, place := range places {
		place.told()
	}
}
