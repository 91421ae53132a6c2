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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"etrusted-broker/internal/neterr"
	"etrusted-broker/tokensource"
)

const (
	keyAndChannelPrefix = "etrusted-broker:"             // of every key and channel, so that a store's access rules can name them
	channel             = keyAndChannelPrefix + "tokens" // announces new tokens: a message is the name of an entry

	failureCooldown = 5 * time.Second // after that, one account tries a store that failed, while the others go on without
)

// Store shares tokens through a server, to which it connects when needed. All methods are safe for concurrent use, except Run, which
// must be called at most once.
type Store struct {
	client        *client
	entries       sync.Map // the open *entry values
	onStateChange func(problem string)
	mu            sync.Mutex
	problem       string // the end of a sentence that begins with "it"; empty: the store works
	retryAt       time.Time
}

// New returns a store. It does not connect. onStateChange, if not nil, is called with the problem when the store stops working,
// and with an empty one when it works again. The text contains nothing that the store said. onStateChange must not call the Store.
func New(options Options, onStateChange func(problem string)) *Store {
	return &Store{client: newClient(options), onStateChange: onStateChange}
}

// Entry implements tokensource.Store.
func (s *Store) Entry(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint, onChange func()) tokensource.Entry {
	e := &entryHandle{Store: s, sealer: newSealer(pair, endpoint), onChange: onChange}
	e.tokenKey, e.leaseKey = keyAndChannelPrefix+"{"+e.name+"}:token", keyAndChannelPrefix+"{"+e.name+"}:lease"
	s.entries.Store(e, nil)
	return e
}

// Close implements tokensource.Entry.
func (e *entryHandle) Close() { e.entries.Delete(e) }

// Run listens for notifications of other brokers until ctx is done, and then ends the use of the store. Without it, or while the
// store is down, brokers look for new tokens when they are due.
func (s *Store) Run(ctx context.Context) {
	defer s.client.close()
	for ctx.Err() == nil {
		err := s.listen(ctx)
		if ctx.Err() == nil && !isMissingRight(err) { // brokers that may not listen can still share
			_ = s.noteResult(err) // so that no account has to find out
		}
		select {
		case <-time.After(failureCooldown/2 + rand.N(failureCooldown/2)): //nolint:gosec // G404: jitter, because all brokers lose a store at once.
		case <-ctx.Done():
		}
	}
}

// listen calls onChange for the notifications of one connection, until that breaks.
func (s *Store) listen(ctx context.Context) error {
	brief, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	var conn redis.Conn
	err := s.client.tryAddresses(brief, func(ctx context.Context, address string) (err error) {
		if conn, err = s.client.connect(ctx, address); err == nil {
			if _, err = redis.DoContext(conn, ctx, "SUBSCRIBE", channel); err != nil {
				_ = conn.Close()
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for message, ok := (redis.Message{}), false; ; {
		if !ok {
			_ = s.noteResult(nil)
		}
		for key := range s.entries.Range {
			// After subscribing, all entries may have changed: this broker has missed earlier messages.
			if e := key.(*entryHandle); !ok || string(message.Data) == e.name {
				e.onChange()
			}
		}
		received := redis.PubSubConn{Conn: conn}.ReceiveWithTimeout(0) // there may be no message for hours
		if err, failed := received.(error); failed {
			return err
		}
		message, ok = received.(redis.Message)
	}
}

// runScript runs a script that returns wantStrings strings.
func (e *entryHandle) runScript(ctx context.Context, wantStrings int, script *redis.Script, keysAndArgs ...any) (list []string, err error) {
	brief, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	reply, err := redis.Values(e.client.run(brief, script, keysAndArgs))
	if errors.Is(ctx.Err(), context.Canceled) || e.client.open.Err() != nil {
		return nil, context.Canceled // the broker is stopping, which is not the store's fault
	}
	for _, value := range reply {
		if text, ok := value.([]byte); ok {
			list = append(list, string(text))
		}
	}
	if err == nil && len(list) != wantStrings {
		err = errInvalidReply
	}
	return list, e.noteResult(err)
}

// SelfTest makes each kind of request to the store once, with an entry that no broker uses, and ends the use of the store. Its error is
// the end of a sentence that begins with "it".
func (s *Store) SelfTest(ctx context.Context) error {
	defer s.client.close()
	test := tokensource.NewSecret("test")
	e := s.Entry(tokensource.Credentials{ID: test, Secret: test}, tokensource.TokenEndpoint{}, func() {})
	_, err := e.Get(ctx)
	if err == nil {
		_, err = e.Acquire(ctx, tokensource.Lease{Remaining: time.Second})
		err = cmp.Or(err, e.Put(ctx, tokensource.SharedToken{AccessToken: test, FencingToken: 1, Lifetime: time.Second}))
	}
	return err
}

// Problem returns why the store is not used, as the end of a sentence that begins with "it"; empty while it works.
func (s *Store) Problem() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// ready returns an error if the store should not be asked now.
func (s *Store) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem != "" && time.Now().Before(s.retryAt) {
		return errors.New(s.problem)
	}
	s.retryAt = time.Now().Add(failureCooldown)
	return nil
}

// noteResult records the result of a request, and returns what may be said of its error. onStateChange is called under the lock:
// its last call is about the current state.
func (s *Store) noteResult(err error) error {
	problem := ""
	if err != nil {
		problem = explainStoreError(err)
		err = errors.New(problem)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := (s.problem == "") != (problem == "")
	s.problem, s.retryAt = problem, time.Now().Add(failureCooldown)
	if changed && s.onStateChange != nil {
		s.onStateChange(problem)
	}
	return err
}

var errInvalidReply = errors.New("invalid reply")

// refusalTexts explain error codes, as ends of a sentence that begins with "it".
var refusalTexts = map[string]string{
	"WRONGPASS": "does not accept the password: check user and password in the URL",
	"NOAUTH":    "requires a password: write redis://USER:PASSWORD@HOST:PORT",
	"NOPERM":    "does not give this user the necessary rights: see the access rules in docs/store.md",
	"ERR":       "refuses the request: it must be Redis 6.2 or newer, or Valkey, and allow scripts",
	"READONLY":  "is a read-only replica: use the address of the primary, or Sentinel (master_name)",
	"MOVED":     "is a node of a Cluster: name another one too, as addr=HOST:PORT",

	codeUnknownMaster: "knows no primary of that name: check master_name",
}

// errorCode returns the code and the rest of an error that a server has replied. It reports false for other errors.
func errorCode(err error) (code, rest string, ok bool) {
	refusal, ok := errors.AsType[redis.Error](err)
	code, rest, _ = strings.Cut(string(refusal), " ")
	return code, rest, ok
}

// isMissingRight reports whether the access rules of the server do not allow a request.
func isMissingRight(err error) bool {
	code, rest, _ := errorCode(err)
	// Redis before 7.2 and since say so differently if a script does what is not allowed.
	return code == "NOPERM" || strings.HasPrefix(rest, "The user executing the script ") || strings.HasPrefix(rest, "ACL failure in script")
}

// explainStoreError returns the end of a sentence that begins with "it". It does not repeat the words of a server, which may echo
// what it was sent.
func explainStoreError(err error) string {
	code, _, isRefusal := errorCode(err)
	switch {
	case isMissingRight(err):
		return refusalTexts["NOPERM"]
	case slices.Contains([]string{"ASK", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "OOM", "TRYAGAIN", "WRONGTYPE"}, code):
		return "refuses the request with the error " + code
	case isRefusal:
		return cmp.Or(refusalTexts[code], "refuses the request")
	}
	described := neterr.Describe("", err)
	if errors.Is(err, errInvalidReply) || described.Code == neterr.CodeInvalidHTTP {
		return "sends invalid replies: check that it is a Redis or Valkey server"
	}
	return described.Detail
}
