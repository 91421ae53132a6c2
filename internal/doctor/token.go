package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"etrusted-broker/tokensource"
)

// grant is what one token request came to: a token, or a failure.
type grant struct {
	authorization string
	lifetime      time.Duration
	failure       *tokensource.RefreshError
}

// fetch makes one token request, in the way in which the broker makes them. It reports false if ctx was done before.
func fetch(ctx context.Context, config tokensource.Config) (grant, bool) {
	ended := make(chan *tokensource.RefreshError, 1)
	end := func(failure *tokensource.RefreshError) {
		select {
		case ended <- failure:
		default: // it goes on until it is stopped, and the first end is what counts
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
		return grant{failure: &tokensource.RefreshError{Outcome: tokensource.OutcomeInvalidResponse, Reason: err.Error()}}, true
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
		return grant{authorization, snapshot.Expires.Sub(snapshot.Issued), failure}, true
	case <-ctx.Done():
		return grant{}, false
	}
}

// token puts a grant into words, and into the account's report.
func (e *examination) token(account Account, got grant, report *AccountReport) finding {
	if got.failure != nil {
		return finding{text: got.failure.Reason, advice: got.failure.Advice, fault: e.tokenFault(got.failure)}
	}
	token := strings.TrimPrefix(got.authorization, "Bearer ")
	e.keep.add(token)
	report.TokenOK, report.LifetimeSeconds = true, got.lifetime.Seconds()
	text := fmt.Sprintf("there is one, which lives %.0f s", got.lifetime.Seconds())
	told, ok := readClaims(token)
	if !ok {
		return fine(text + "; it is no JWT, so there is nothing to be read in it")
	}
	report.Audience, report.Scopes, report.Roles = e.keep.claims(told.audience), e.keep.claims(told.scopes), e.keep.claims(told.roles)
	for _, part := range []struct {
		name  string
		words []string
	}{{"audience", report.Audience}, {"scopes", report.Scopes}, {"roles", report.Roles}} {
		if len(part.words) > 0 {
			text += "; " + part.name + " " + strings.Join(part.words, ", ")
		}
	}
	return finding{text: text, warnings: e.doubts(account, got, told)}
}

// doubts are what is odd about a token that the login server gave all the same.
func (e *examination) doubts(account Account, got grant, told claims) []string {
	var doubts []string
	if e.Audience != "" && !slices.Contains(told.audience, e.Audience) {
		doubts = append(doubts, "the token is not meant for the audience in ETRUSTED_AUDIENCE, so the API may refuse it")
	}
	if pair, err := account.Origin.Read(); err == nil && told.client != "" && told.client != pair.ID.Reveal() {
		doubts = append(doubts, "the token says that it was issued to another client than the one that asked for it")
	}
	if told.lifetime > 0 && told.lifetime < got.lifetime-time.Second {
		doubts = append(doubts, fmt.Sprintf("the token says of itself that it lives %.0f s only", told.lifetime.Seconds()))
	}
	return doubts
}

func (e *examination) tokenFault(failure *tokensource.RefreshError) Fault {
	switch {
	case failure.Outcome == tokensource.OutcomeUnavailable:
		return LoginServer
	case failure.Outcome == tokensource.OutcomeInvalidResponse && !failure.Parameters:
		return route{server: e.Login}.addressFault()
	default:
		return Configuration // the credentials, or what they are sent with
	}
}
