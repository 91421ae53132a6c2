package redisstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"etrusted-broker/tokensource"
)

// seal keeps what is in the store from whoever can read the store. Its keys are made from the client secret (HKDF, RFC
// 5869), which all who share a token have, and the store has not. It may be used from any goroutine.
type seal struct {
	// name is the pair's in the store: an HMAC, which tells nothing of the client id, and by which another secret has
	// another place.
	name string
	aead cipher.AEAD
}

// format is part of every key: who writes another one has another name, and so other places.
const format = "etrusted-broker token store 1"

// newSeal returns the seal of a pair at an endpoint. Tokens for other audiences or scopes are others, with places of their
// own.
func newSeal(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint) seal {
	secret := []byte(pair.Secret.Reveal())
	mac := hmac.New(sha256.New, derive(secret, "name"))
	for _, part := range append([]string{pair.ID.Reveal(), endpoint.URL, endpoint.Audience}, endpoint.Scopes...) {
		// With its length before it: "a" and "bc" are not "ab" and "c".
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	block, err := aes.NewCipher(derive(secret, "seal"))
	if err != nil {
		panic(err) // of a key of another length alone
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // of another block size alone
	}
	return seal{name: hex.EncodeToString(mac.Sum(nil)[:16]), aead: aead}
}

func derive(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, format+" "+purpose, 32)
	if err != nil {
		panic(err) // of more than 255 blocks alone
	}
	return key
}

// close encrypts a record of some kind. The nonce is random: at a token every four minutes, two are never the same.
func (s seal) close(kind string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, s.context(kind)) //nolint:gosec // G407: this kind takes none, and makes a random one.
}

var errSealed = errors.New("what is in the store was not left there by a broker with these credentials")

// open decrypts a record of that kind, of that pair. It fails for everything else.
func (s seal) open(kind string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, s.context(kind))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// context keeps whoever can write to the store from putting a record into another's place.
func (s seal) context(kind string) []byte {
	return []byte(format + "\x00" + s.name + "\x00" + kind)
}
