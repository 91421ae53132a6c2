package redisstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"time"

	"etrusted-broker/tokensource"
)

// format is an input of every key: another format of the records has other names and keys.
const format = "etrusted-broker token store 2"

// record is a token or a lease as it is sealed. It contains the fencing token because an attacker who can write to the store
// could otherwise present an old token, which was refused since, as the newest.
type record struct {
	FencingToken uint64
	Issued       time.Time
	AccessToken  string                    `json:",omitempty"`
	Lifetime     time.Duration             `json:",omitempty"`
	Failure      *tokensource.RefreshError `json:",omitempty"`
	Failures     int                       `json:",omitempty"`
}

// sealer encrypts records so that the store cannot read them. Its keys are derived from the client secret (HKDF, RFC 5869),
// which all brokers that share a token have. It is safe for concurrent use.
type sealer struct {
	name string // of the pair in the store: an HMAC, which reveals nothing of the client ID
	aead cipher.AEAD
}

// newSealer returns the sealer of a pair at an endpoint. Tokens for other audiences or scopes have other names.
func newSealer(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint) sealer {
	derive := func(purpose string) []byte {
		return must(hkdf.Key(sha256.New, []byte(pair.Secret.Reveal()), nil, format+" "+purpose, 32))
	}
	mac := hmac.New(sha256.New, derive("name"))
	for _, part := range append([]string{pair.ID.Reveal(), endpoint.URL, endpoint.Audience}, endpoint.Scopes...) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // so that "a" and "bc" differ from "ab" and "c"
		mac.Write([]byte(part))
	}
	aead := must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(derive("seal"))))) // at a token every four minutes, no nonce comes twice
	return sealer{name: hex.EncodeToString(mac.Sum(nil)[:16]), aead: aead}
}

// must panics if a key has the wrong length, or a record a field without a JSON form.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// seal encrypts a record for a key of the store.
func (s sealer) seal(key string, r record) string {
	return string(s.aead.Seal(nil, nil, must(json.Marshal(r)), []byte(key))) //nolint:gosec // G407: this AEAD takes no nonce, and makes a random one.
}

// open decrypts a record. It reports false unless the record was sealed for this key, so that an attacker who can write to the
// store cannot move it.
func (s sealer) open(key, sealed string) (r record, ok bool) {
	plain, err := s.aead.Open(nil, nil, []byte(sealed), []byte(key))
	return r, err == nil && json.Unmarshal(plain, &r) == nil
}
