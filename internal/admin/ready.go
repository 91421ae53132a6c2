package admin

import (
	"slices"

	"etrusted-broker/tokensource"
)

// notReadyReason returns why the broker is not ready; empty if it is. It is ready if the default account has a valid token, or,
// without a default account, if any account has one.
func notReadyReason(draining bool, snapshots []tokensource.Snapshot) string {
	if draining {
		return "the broker is shutting down"
	}
	isDefault := func(snapshot tokensource.Snapshot) bool { return snapshot.Account == tokensource.DefaultAccount }
	if i := slices.IndexFunc(snapshots, isDefault); i >= 0 {
		return noTokenReason(snapshots[i])
	}
	reason := "no account is configured"
	for _, snapshot := range snapshots {
		if reason = noTokenReason(snapshot); reason == "" {
			break
		}
	}
	return reason
}

// noTokenReason returns why an account has no token; empty if it has one.
func noTokenReason(snapshot tokensource.Snapshot) string {
	switch {
	case snapshot.Valid:
		return ""
	case snapshot.LastFailure != nil:
		return snapshot.LastFailure.Error()
	case snapshot.LastSuccess.IsZero():
		return "the first token is being fetched"
	default:
		return "the token is no longer valid, and a new one is being fetched"
	}
}
