package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"etrusted-broker/tokensource"
)

// tokenResult is the result of one token request: a token, or a failure.
type tokenResult struct {
	authorization string
	lifetime      time.Duration
	failure       *tokensource.RefreshError
}

// fetchToken makes one token request, exactly as the broker makes it. It reports false if ctx was done first.
func fetchToken(ctx context.Context, config tokensource.Config) (tokenResult, bool) {
	ended := make(chan *tokensource.RefreshError, 1)
	end := func(failure *tokensource.RefreshError) {
		select {
		case ended <- failure:
		default: // the source runs until it is stopped, but only the first request counts
		}
	}
	config.OnRefresh = func(event tokensource.RefreshEvent) { end(event.Err) }
	config.OnReload = func(reload tokensource.CredentialReload) {
		if reload.Outcome == tokensource.ReloadUnreadable {
			end(&tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: reload.Reason, Advice: reload.Advice})
		}
	}
	source, err := tokensource.New(config)
	if err != nil {
		return tokenResult{failure: &tokensource.RefreshError{Outcome: tokensource.OutcomeInvalidResponse, Reason: err.Error()}}, true
	}
	running, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		source.Run(running)
	}()
	defer func() {
		stop()
		<-stopped
	}()
	select {
	case failure := <-ended:
		authorization, _ := source.Current()
		snapshot := source.Snapshot()
		return tokenResult{authorization, snapshot.Expires.Sub(snapshot.Issued), failure}, true
	case <-ctx.Done():
		return tokenResult{}, false
	}
}

// describeToken describes a token request, and adds the token's claims to the account's report.
func (c *checker) describeToken(account Account, result tokenResult, report *AccountReport) finding {
	if result.failure != nil {
		return finding{text: result.failure.Reason, advice: result.failure.Advice, cause: c.tokenCause(result.failure)}
	}
	token := strings.TrimPrefix(result.authorization, "Bearer ")
	c.redact.addSecret(token)
	report.TokenOK, report.LifetimeSeconds = true, result.lifetime.Seconds()
	text := fmt.Sprintf("received, valid for %.0f s", result.lifetime.Seconds())
	contents, ok := readClaims(token)
	if !ok {
		return passed(text + "; opaque token, contents unknown")
	}
	report.Audience, report.Scopes, report.Roles = c.redact.claims(contents.audience), c.redact.claims(contents.scopes), c.redact.claims(contents.roles)
	for _, list := range []struct {
		name  string
		words []string
	}{{"audience", report.Audience}, {"scopes", report.Scopes}, {"roles", report.Roles}} {
		if len(list.words) > 0 {
			text += "; " + list.name + " " + strings.Join(list.words, ", ")
		}
	}
	return finding{text: text, warnings: c.tokenWarnings(account, result, contents)}
}

// tokenWarnings lists what is unusual about a token.
func (c *checker) tokenWarnings(account Account, result tokenResult, token claims) []string {
	var warnings []string
	if c.Audience != "" && !slices.Contains(token.audience, c.Audience) {
		warnings = append(warnings, "the token is not for the audience in ETRUSTED_AUDIENCE, so the API may reject it")
	}
	if pair, err := account.Credentials.Read(); err == nil && token.client != "" && token.client != pair.ID.Reveal() {
		warnings = append(warnings, "the token was issued to a different client")
	}
	if token.lifetime > 0 && token.lifetime < result.lifetime-time.Second {
		warnings = append(warnings, fmt.Sprintf("the token expires earlier than the login server said, after %.0f s", token.lifetime.Seconds()))
	}
	return warnings
}

func (c *checker) tokenCause(failure *tokensource.RefreshError) Cause {
	switch {
	case failure.Outcome == tokensource.OutcomeUnavailable:
		return CauseLoginServer
	case failure.Parameters:
		return CauseConfiguration
	case failure.Outcome == tokensource.OutcomeRejected:
		return CauseCredentials
	default:
		return route{server: c.Login}.wrongServerCause()
	}
}
