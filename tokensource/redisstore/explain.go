package redisstore

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"etrusted-broker/internal/neterr"
)

var errNonsense = errors.New("nonsense")

// known are the error codes with which a store refuses what is asked of it, as ends of a sentence that begins with "it".
var known = map[string]string{ //nolint:gosec // G101: no credentials.
	"WRONGPASS":   "does not take the password: check user and password in the URL",
	"NOAUTH":      "wants a password: write redis://USER:PASSWORD@HOST:PORT",
	"NOPERM":      "does not let this user do what is needed: see the access rules in the documentation",
	"ERR":         "refuses what is asked of it: it must be Redis 6.2 or newer, or Valkey, and allow scripts",
	"READONLY":    "is a replica, which takes no writes: name the primary, or use Sentinel (master_name)",
	"MOVED":       "is a node of a Cluster: name another one too, as addr=HOST:PORT",
	"CROSSSLOT":   "is a node of a Cluster: name another one too, as addr=HOST:PORT",
	"CLUSTERDOWN": "is a Cluster that is not complete",
	"MASTERDOWN":  "is a replica whose primary is away",
	"OOM":         "has no memory left",
	"MISCONF":     "takes no writes, since it cannot save to its disk",
	"LOADING":     "is starting, and loads its data",
	"WRONGTYPE":   "is used by another program with keys that begin with etrusted-broker: too",
}

// explain puts into words of ours why the store did not do what was asked of it. What a server says is not repeated: it
// may echo what it was sent.
func explain(err error) string {
	var refusal redis.Error
	switch {
	case errors.Is(err, errNonsense):
		return "answers what makes no sense: is it a Redis or Valkey server?"
	case errors.Is(err, redis.ErrPoolTimeout):
		return "does not answer in time"
	case errors.As(err, &refusal):
		code, rest, _ := strings.Cut(refusal.Error(), " ")
		if strings.HasPrefix(rest, "The user executing the script ") || strings.HasPrefix(rest, "ACL failure in script") {
			code = "NOPERM" // of Redis before 7.2, and since
		}
		if text := known[code]; text != "" {
			return text
		}
		return "refuses what is asked of it"
	}
	described := neterr.Describe("", err)
	if described.Code == neterr.CodeInvalidHTTP {
		return explain(errNonsense)
	}
	return described.Detail
}
