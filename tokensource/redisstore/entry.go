package redisstore

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/gomodule/redigo/redis"

	"etrusted-broker/tokensource"
)

// What must happen at once happens in scripts, which the store runs one after the other. They return lists of strings.
//
//go:embed get.lua swap.lua put.lua
var scripts embed.FS

func loadScript(name string, keyCount int) *redis.Script {
	return redis.NewScript(keyCount, string(must(scripts.ReadFile(name))))
}

var getEntryScript, compareAndSwapLeaseScript, putTokenScript = loadScript("get.lua", 2), loadScript("swap.lua", 1), loadScript("put.lua", 2)

const (
	// maxLeaseAge is how old a lease gets before its pause without an attacker: it lasts for the longest attempt, with a request to
	// the store before and after it.
	maxLeaseAge = tokensource.DefaultTokenRequestTimeout + 2*operationTimeout
	// maxBrokerClockDifference is between two brokers. An attacker may set the store's clock, so those of the brokers count too.
	maxBrokerClockDifference = 5 * time.Minute
)

// entryHandle implements tokensource.Entry.
type entryHandle struct {
	*Store
	sealer
	tokenKey, leaseKey string // with the name in braces, so that a Cluster keeps them on one node
	onChange           func()
	seen, held         string // the lease as Get has returned it last, and that of this broker
}

// Get implements tokensource.Entry.
func (e *entryHandle) Get(ctx context.Context) (tokensource.SharedState, error) {
	if err := e.ready(); err != nil {
		return tokensource.SharedState{}, err
	}
	reply, err := e.runScript(ctx, 6, getEntryScript, e.tokenKey, e.leaseKey)
	if err != nil {
		return tokensource.SharedState{}, err
	}
	e.seen = reply[4]
	shared, now := tokensource.SharedState{FencingToken: parseNumberOrZero(reply[0])}, time.Now()
	if r, ok := e.open(e.tokenKey, reply[2]); ok && r.FencingToken == parseNumberOrZero(reply[1]) {
		remaining := min(r.Lifetime, r.Issued.Add(r.Lifetime).Sub(now), time.Duration(parseNumberOrZero(reply[3]))*time.Millisecond)
		shared.Token = tokensource.SharedToken{
			AccessToken: tokensource.NewSecret(r.AccessToken), FencingToken: r.FencingToken, Issued: r.Issued, Lifetime: r.Lifetime, NotBefore: r.NotBefore, Remaining: remaining,
		}
	}
	r, ok := e.open(e.leaseKey, e.seen)
	left := maxLeaseAge + r.Remaining - time.Duration(shared.FencingToken-r.FencingToken)*time.Microsecond
	if ok && left > 0 && now.Sub(r.Issued).Abs() < maxBrokerClockDifference {
		r.Remaining = min(left, r.Remaining, time.Duration(parseNumberOrZero(reply[5]))*time.Millisecond)
		shared.Lease = r.Lease
	}
	return shared, nil
}

// Acquire implements tokensource.Entry. It replaces the lease that Get has returned, valid or not.
func (e *entryHandle) Acquire(ctx context.Context, lease tokensource.Lease) (bool, error) {
	e.held = e.seal(e.leaseKey, tokenOrLeaseRecord{Lease: lease, Issued: time.Now()})
	reply, err := e.runScript(ctx, 1, compareAndSwapLeaseScript, e.leaseKey, e.seen, e.held, lease.Remaining.Milliseconds())
	return err == nil && reply[0] == "1", err
}

// Release implements tokensource.Entry.
func (e *entryHandle) Release(ctx context.Context, failed tokensource.Lease) error {
	e.seen = e.held // Get may have returned another broker's since
	_, err := e.Acquire(ctx, failed)
	return err
}

// Put implements tokensource.Entry.
func (e *entryHandle) Put(ctx context.Context, token tokensource.SharedToken) error {
	sealed := e.seal(e.tokenKey, tokenOrLeaseRecord{Lease: tokensource.Lease{FencingToken: token.FencingToken}, Issued: token.Issued, AccessToken: token.AccessToken.Reveal(), Lifetime: token.Lifetime, NotBefore: token.NotBefore})
	// By the store's clock, the lifetime began at its fencing token, which was before the token was requested.
	expires := token.FencingToken/1000 + token.Lifetime.Milliseconds()
	_, err := e.runScript(ctx, 1, putTokenScript, e.tokenKey, e.leaseKey, token.FencingToken, sealed, expires, e.held, channel, e.name)
	return err
}

// parseNumberOrZero parses a number of the store; it returns 0 for anything else. Lua calculates with doubles, so it has 53 bits.
func parseNumberOrZero(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 54) // the limit if it is out of range
	return n
}

// recordFormatInKeys is an input of every key: another format of the records has other names and keys.
const recordFormatInKeys = "etrusted-broker token store 3"

// tokenOrLeaseRecord is a token or a lease as it is sealed. It contains the fencing token because an attacker who can write to the store
// could otherwise present an old token, which was refused since, as the newest.
type tokenOrLeaseRecord struct {
	tokensource.Lease               // of a token, only its fencing token
	Issued            time.Time     // of a lease, when it was acquired or released
	AccessToken       string        `json:",omitempty"`
	Lifetime          time.Duration `json:",omitempty"`
	NotBefore         time.Duration `json:",omitempty"`
}

// sealer encrypts records so that the store cannot read them. Its keys are derived from the client secret (HKDF, RFC 5869),
// which all brokers that share a token have. It is safe for concurrent use.
type sealer struct {
	name string // of the pair in the store: a derived key, which reveals nothing of the client ID
	aead cipher.AEAD
}

// newSealer returns the sealer of a pair at an endpoint. Tokens for other audiences, scopes or APIs have other names.
func newSealer(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint) sealer {
	derive := func(purpose string, length int) []byte {
		return must(hkdf.Key(sha256.New, []byte(pair.Secret.Reveal()), nil, recordFormatInKeys+" "+purpose, length))
	}
	names := must(json.Marshal(append([]string{pair.ID.Reveal(), endpoint.URL, endpoint.Audience, endpoint.API}, endpoint.Scopes...)))
	aead := must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(derive("seal", 32))))) // at a token every four minutes, no nonce comes twice
	return sealer{name: hex.EncodeToString(derive("name "+string(names), 16)), aead: aead}
}

// must panics if a key has the wrong length, or a record a field without a JSON form.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// seal encrypts a record for a key of the store.
func (s sealer) seal(key string, r tokenOrLeaseRecord) string {
	return string(s.aead.Seal(nil, nil, must(json.Marshal(r)), []byte(key))) //nolint:gosec // G407: this AEAD takes no nonce, and makes a random one.
}

// open decrypts a record. It reports false unless the record was sealed for this key, so that an attacker who can write to the
// store cannot move it.
func (s sealer) open(key, sealed string) (r tokenOrLeaseRecord, ok bool) {
	plain, err := s.aead.Open(nil, nil, []byte(sealed), []byte(key))
	return r, err == nil && json.Unmarshal(plain, &r) == nil
}
