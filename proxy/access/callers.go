package access

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"etrusted-broker/internal/problem"
)

// Caller is a program that may use the broker, and what it may do. It must not be changed once it is in Callers.
type Caller struct {
	// Name is empty if there are no named callers, but one access key for all.
	Name string
	Keys *Keys // nil if it has none
	// Identities identify its connections: see Request.Identities.
	Identities []string
	AllowList  *RequestAllowList // apply in addition to Policy.AllowList
	// Accounts are the names of the accounts that it may use, the one for requests that name none first; nil if it may use all,
	// and the default account if it names none.
	Accounts []string
	Expires  time.Time // when its access ends; zero if it does not
}

// CheckAccount denies a request for an account that the caller may not use. c may be nil, and then denies nothing.
func (c *Caller) CheckAccount(account string) *problem.Problem {
	if c == nil || c.Accounts == nil || slices.Contains(c.Accounts, account) {
		return nil
	}
	return errAccountNotAllowed
}

// FirstAccount returns the account for requests that name none; empty for the default account. c may be nil.
func (c *Caller) FirstAccount() string {
	if c == nil || len(c.Accounts) == 0 {
		return ""
	}
	return c.Accounts[0]
}

// HasExpired reports whether the caller's access has ended.
func (c *Caller) HasExpired() bool { return !c.Expires.IsZero() && !time.Now().Before(c.Expires) }

// Callers are the programs that may use the broker. All methods are safe for concurrent use.
type Callers struct {
	current atomic.Pointer[callerSet]
}

// NewCallers returns Callers with these members. No two of them may share a key or an identity.
func NewCallers(callers ...*Caller) *Callers {
	c := new(Callers)
	c.Replace(callers...)
	return c
}

// Replace replaces all callers. It applies to the next request, also on a connection that is open.
func (c *Callers) Replace(callers ...*Caller) {
	set := callerSet(callers)
	c.current.Store(&set)
}

// WithKey returns the caller that has an access key. It returns nil for an unknown key, and if the caller's access has expired.
func (c *Callers) WithKey(key string) *Caller {
	if caller := c.current.Load().withKey(key); caller != nil && !caller.HasExpired() {
		return caller
	}
	return nil
}

// HasAnyIdentity reports whether a caller has one of these identities.
func (c *Callers) HasAnyIdentity(identities []string) bool {
	set := *c.current.Load()
	return slices.ContainsFunc(identities, func(identity string) bool { return set.withIdentity(identity) != nil })
}

// WithName returns the caller with a name, even if its access has expired; nil without one.
func (c *Callers) WithName(name string) *Caller {
	for _, caller := range *c.current.Load() {
		if caller.Name == name {
			return caller
		}
	}
	return nil
}

// callerSet is a set of callers that does not change.
type callerSet []*Caller

// withKey returns the caller that has a key, in a time that does not depend on the keys; nil for an unknown key.
func (s callerSet) withKey(text string) (found *Caller) {
	if text == "" {
		return nil
	}
	digest, now := sha256.Sum256([]byte(text)), time.Now()
	for _, caller := range s {
		if caller.Keys != nil && caller.Keys.contain(digest, now) {
			found = caller
		}
	}
	return found
}

func (s callerSet) withIdentity(identity string) *Caller {
	for _, caller := range s {
		if slices.Contains(caller.Identities, identity) {
			return caller
		}
	}
	return nil
}

// authenticate returns the caller of a request: the one that has the key in Proxy-Authorization, in authorization (RFC 9110 section
// 11.6.2), or an identity of the connection; or why the request is denied. Without valid credentials, it returns ifMissing,
// which may be nil; without Callers, two nils. Credentials of two callers are denied, since their order must not decide which one
// is used.
func (p *Policy) authenticate(r *Request, authorization string, ifMissing *problem.Problem) (*Caller, *problem.Problem) {
	if p.Callers == nil {
		return nil, nil
	}
	set := *p.Callers.current.Load()
	proxyAuthorization, repeated := r.proxyAuthorization()
	if repeated {
		return nil, errRepeatedCredentials
	}
	found := []*Caller{set.withKey(p.keyIn(proxyAuthorization)), set.withKey(p.keyIn(authorization))}
	identities := r.Identities
	if r.Tunnel != nil {
		identities = r.Tunnel.Identities
	}
	for _, identity := range identities {
		found = append(found, set.withIdentity(identity))
	}
	var caller *Caller
	for _, one := range found {
		if one == nil {
			continue
		}
		if caller != nil && caller != one {
			return nil, errSeveralCallers
		}
		caller = one
	}
	switch {
	case caller == nil:
		return nil, ifMissing
	case caller.HasExpired():
		return nil, errCallerExpired
	default:
		return caller, nil
	}
}

// authenticateToProxy is authenticate for a client that uses the broker as its proxy to another host (RFC 9110 section 15.5.8).
// Authorization is that host's.
func (p *Policy) authenticateToProxy(r *Request) (*Caller, *problem.Problem) {
	caller, denied := p.authenticate(r, "", errProxyKeyMissing)
	if denied != nil && denied.Status == http.StatusUnauthorized {
		forProxy := *denied
		forProxy.Status, forProxy.Fields = http.StatusProxyAuthRequired, errProxyKeyMissing.Fields
		denied = &forProxy
	}
	return caller, denied
}

// unauthenticatedProblem returns the problem of a request without valid credentials. A connection that has an identity, or is a
// tunnel, is closed: the client can have others only on another connection.
func unauthenticatedProblem(r *Request) *problem.Problem {
	switch {
	case r.Tunnel != nil:
		return errTunnelAccessKeyExpired
	case len(r.Identities) > 0:
		return errUnknownIdentityAndKey
	default:
		return errAccessKeyMissingOrWrong
	}
}

// proxyAuthorization returns what the client of a proxy has sent as that proxy's password (RFC 9110 section 11.7.2); empty if the
// client does not use the broker as its proxy. It reports whether there are several.
func (r *Request) proxyAuthorization() (value string, repeated bool) {
	switch {
	case r.Tunnel != nil:
		return r.Tunnel.ProxyAuthorization, false
	case r.AbsoluteForm || r.Method == http.MethodConnect:
		return singleValue(r.Fields, "Proxy-Authorization")
	default:
		return "", false
	}
}
