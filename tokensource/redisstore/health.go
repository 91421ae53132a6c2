package redisstore

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"etrusted-broker/internal/neterr"
)

const retryPause = 5 * time.Second // after that, one account tries a store that failed, while the others go on without

// health remembers whether the store works, so that not every account waits for a store that is down.
type health struct {
	onStateChange func(problem string)
	mu            sync.Mutex
	problem       string // empty: it works
	retryAt       time.Time
}

// Problem returns why the store is not used, as the end of a sentence that begins with "it"; empty while it works.
func (h *health) Problem() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problem
}

// ready returns an error if the store should not be asked now.
func (h *health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.problem != "" && time.Now().Before(h.retryAt) {
		return errors.New(h.problem)
	}
	h.retryAt = time.Now().Add(retryPause)
	return nil
}

// record records the result of a request, and returns what may be said of its error. It calls onStateChange under the lock, so
// that the last call is about the current state.
func (h *health) record(err error) error {
	problem := ""
	if err != nil {
		problem = explain(err)
		err = errors.New(problem)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := (h.problem == "") != (problem == "")
	h.problem, h.retryAt = problem, time.Now().Add(retryPause)
	if changed && h.onStateChange != nil {
		h.onStateChange(problem)
	}
	return err
}

var errInvalidReply = errors.New("invalid reply")

// refusals explain error codes, as ends of a sentence that begins with "it".
var refusals = map[string]string{
	"WRONGPASS": "does not accept the password: check user and password in the URL",
	"NOAUTH":    "requires a password: write redis://USER:PASSWORD@HOST:PORT",
	"NOPERM":    "does not give this user the necessary rights: see the access rules in docs/store.md",
	"ERR":       "refuses the request: it must be Redis 6.2 or newer, or Valkey, and allow scripts",
	"READONLY":  "is a read-only replica: use the address of the primary, or Sentinel (master_name)",
	"MOVED":     "is a node of a Cluster: name another one too, as addr=HOST:PORT",
}

// explain does not repeat the words of a server, which may echo what it was sent.
func explain(err error) string {
	if refusal, ok := errors.AsType[redis.Error](err); ok {
		code, rest, _ := strings.Cut(refusal.Error(), " ")
		if strings.HasPrefix(rest, "The user executing the script ") || strings.HasPrefix(rest, "ACL failure in script") {
			code = "NOPERM" // of Redis before 7.2, and since
		}
		if slices.Contains([]string{"CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "OOM", "WRONGTYPE"}, code) {
			return "refuses the request with the error " + code
		}
		return cmp.Or(refusals[code], "refuses the request")
	}
	described := neterr.Describe("", err)
	if errors.Is(err, errInvalidReply) || described.Code == neterr.CodeInvalidHTTP {
		return "sends invalid replies: check that it is a Redis or Valkey server"
	}
	return described.Detail
}
