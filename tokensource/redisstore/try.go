package redisstore

import (
	"context"
	"time"

	"etrusted-broker/tokensource"
)

// Try does once with the store what brokers do with it, in a place that nobody else uses, and closes the connections: the
// store is of no use after that. The error is the end of a sentence that begins with "it".
func (s *Store) Try(ctx context.Context) error {
	defer func() { _ = s.client.Close() }()
	nobody := tokensource.Credentials{ID: tokensource.NewSecret("try"), Secret: tokensource.NewSecret("try")}
	place := s.Entry(nobody, tokensource.TokenEndpoint{}, func() {})
	defer place.Close()
	taken, err := place.Acquire(ctx, tokensource.Known{}, time.Second)
	if err != nil {
		return err
	}
	if taken.Leased { // else somebody else tries it too
		return place.Put(ctx, tokensource.SharedToken{
			AccessToken: tokensource.NewSecret("try"), FencingToken: taken.FencingToken, Issued: time.Now(), Lifetime: time.Second,
		})
	}
	return nil
}
