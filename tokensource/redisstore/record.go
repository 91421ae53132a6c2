package redisstore

import (
	"encoding/json"
	"time"

	"etrusted-broker/tokensource"
)

// The kinds of records.
const (
	tokenKind   = "token"
	failureKind = "failure"
)

// tokenRecord is a token as it is sealed. Times are in milliseconds. The fence is sealed too: whoever can write to the store
// could else put a token back, one that was refused since, as the newest.
type tokenRecord struct {
	Fence       uint64 `json:"fence"`
	AccessToken string `json:"access_token"`
	IssuedAt    int64  `json:"issued_at"`
	Lifetime    int64  `json:"lifetime"`
}

// failureRecord is a failure as it is sealed.
type failureRecord struct {
	At         int64               `json:"at"`
	Outcome    tokensource.Outcome `json:"outcome"`
	Reason     string              `json:"reason"`
	Advice     string              `json:"advice"`
	Parameters bool                `json:"parameters,omitempty"`
	Failures   int                 `json:"failures"`
}

// maxFailureAge is how old a failure may be that is believed: more than the longest pause, and the difference of two
// clocks. Whoever can write to the store can put one back that he has seen there.
const maxFailureAge = time.Minute

func (s seal) sealToken(token tokensource.SharedToken) []byte {
	return s.close(tokenKind, encode(tokenRecord{
		Fence:       token.FencingToken,
		AccessToken: token.AccessToken.Reveal(),
		IssuedAt:    token.Issued.UnixMilli(),
		Lifetime:    token.Lifetime.Milliseconds(),
	}))
}

// openToken returns the token, with what remains of it by the clock of this machine; tokensource judges whether that
// makes sense.
func (s seal) openToken(sealed []byte, now time.Time) (*tokensource.SharedToken, error) {
	var record tokenRecord
	if err := s.decode(tokenKind, sealed, &record); err != nil {
		return nil, err
	}
	issued, lifetime := time.UnixMilli(record.IssuedAt), time.Duration(record.Lifetime)*time.Millisecond
	return &tokensource.SharedToken{
		FencingToken: record.Fence,
		AccessToken:  tokensource.NewSecret(record.AccessToken),
		Issued:       issued,
		Lifetime:     lifetime,
		Remaining:    min(lifetime, issued.Add(lifetime).Sub(now)),
	}, nil
}

func (s seal) sealFailure(failure tokensource.SharedFailure, now time.Time) []byte {
	return s.close(failureKind, encode(failureRecord{
		At:         now.UnixMilli(),
		Outcome:    failure.Outcome,
		Reason:     failure.Reason,
		Advice:     failure.Advice,
		Parameters: failure.Parameters,
		Failures:   failure.Failures,
	}))
}

// openFailure returns the failure; nil if it is too old.
func (s seal) openFailure(sealed []byte, now time.Time) (*tokensource.SharedFailure, error) {
	var record failureRecord
	if err := s.decode(failureKind, sealed, &record); err != nil {
		return nil, err
	}
	if now.Sub(time.UnixMilli(record.At)).Abs() > maxFailureAge {
		return nil, nil
	}
	return &tokensource.SharedFailure{
		RefreshError: tokensource.RefreshError{
			Outcome:    record.Outcome,
			Reason:     record.Reason,
			Advice:     record.Advice,
			Parameters: record.Parameters,
		},
		Failures: record.Failures,
	}, nil
}

func encode(record any) []byte {
	text, err := json.Marshal(record)
	if err != nil {
		panic(err) // of a type that is no record alone
	}
	return text
}

func (s seal) decode(kind string, sealed []byte, record any) error {
	plain, err := s.open(kind, sealed)
	if err != nil {
		return err
	}
	if json.Unmarshal(plain, record) != nil { // its error quotes
		return errSealed
	}
	return nil
}
