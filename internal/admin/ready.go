package admin

import "etrusted-broker/tokensource"

// notReady says why the broker is not ready; empty if it is. What counts is the default account, and where there is
// none, any.
func (c Config) notReady() string {
	return notReadyReason(c.Draining(), c.Tokens())
}

func notReadyReason(draining bool, snapshots []tokensource.Snapshot) string {
	if draining {
		return "the broker is shutting down"
	}
	for _, snapshot := range snapshots {
		if snapshot.Account == tokensource.DefaultAccount {
			return noTokenReason(snapshot)
		}
	}
	reason := "there is no account"
	for _, snapshot := range snapshots {
		if reason = noTokenReason(snapshot); reason == "" {
			break
		}
	}
	return reason
}

// noTokenReason says why an account has no token; empty if it has one.
func noTokenReason(snapshot tokensource.Snapshot) string {
	switch {
	case snapshot.Valid:
		return ""
	case snapshot.LastFailure != nil:
		return snapshot.LastFailure.Error()
	default:
		return fetchStatus(snapshot)
	}
}

// fetchStatus says what is being done for an account that has no token, and whose last attempt at one has not failed.
func fetchStatus(snapshot tokensource.Snapshot) string {
	if snapshot.LastSuccess.IsZero() {
		return "the first token is being fetched"
	}
	return "the token has ended before its time, and another is being fetched"
}
