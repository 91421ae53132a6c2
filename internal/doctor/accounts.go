package doctor

import (
	"context"
	"time"

	"etrusted-broker/tokensource"
)

// visit is to all accounts, one after the other.
type visit struct {
	*examination
	login, api *timed
	clockTold  bool
	// noToken and noChannels say why there are no further requests to that server; empty if there are.
	noToken, noChannels string
}

// accounts asks for a token for each account, and for the channels that it sees.
func (e *examination) accounts(ctx context.Context, loginOpen, apiOpen bool) {
	v := &visit{examination: e, login: &timed{next: e.Transport}, api: &timed{next: e.Transport}}
	if !loginOpen {
		v.noToken = "not asked for, since the way to the login server is closed"
	}
	if !apiOpen {
		v.noChannels = "not asked for, since the way to the API is closed"
	}
	for _, account := range e.Accounts {
		report := AccountReport{Account: account.Name, Audience: []string{}, Scopes: []string{}, Roles: []string{}}
		authorization := v.askForToken(ctx, account, &report)
		v.askForChannels(ctx, account, authorization, &report)
		e.report.Accounts = append(e.report.Accounts, report)
	}
	v.tellClock(ctx) // if no account had files that can be read
	e.Transport.CloseIdleConnections()
}

// askForToken returns the value for the Authorization header; empty if there is none. Where the server is to blame, the
// other accounts would learn no more, and hundreds of them would wait for hundreds of time-outs.
func (v *visit) askForToken(ctx context.Context, account Account, report *AccountReport) (authorization string) {
	step := Step{Name: "token", Account: account.Name, Target: v.Login.URL.String()}
	if v.noToken != "" {
		v.tellClock(ctx)
		v.skip(ctx, step, v.noToken)
		return ""
	}
	if !v.isReadable(account) {
		v.skip(ctx, step, "not asked for, since its files cannot be read")
		return ""
	}
	began := time.Now()
	got, ok := fetch(ctx, tokensource.Config{
		Account:     account.Name,
		Credentials: account.Origin,
		Endpoint: tokensource.TokenEndpoint{
			URL:       v.Login.URL.String(),
			Audience:  v.Audience,
			Scopes:    v.Scopes,
			Transport: v.login,
			Timeout:   v.Timeout,
			UserAgent: v.UserAgent,
		},
	})
	took := time.Since(began)
	if !ok {
		return ""
	}
	if v.login.asked() {
		v.tellClock(ctx) // before the token, which a wrong clock may cost
	}
	if !v.found(ctx, step, took, v.token(account, got, report)) && got.failure != nil && got.failure.Outcome == tokensource.OutcomeUnavailable {
		v.noToken = "not asked for, since the login server is away"
	}
	return got.authorization
}

// tellClock takes the step of the clock, once.
func (v *visit) tellClock(ctx context.Context) {
	if !v.clockTold {
		v.clockTold = true
		v.clock(ctx, v.login.reading())
	}
}

func (v *visit) askForChannels(ctx context.Context, account Account, authorization string, report *AccountReport) {
	target := v.API.URL.JoinPath("channels").String()
	step := Step{Name: "GET /channels", Account: account.Name, Target: target}
	switch {
	case v.noChannels != "":
		v.skip(ctx, step, v.noChannels)
		return
	case authorization == "":
		v.skip(ctx, step, "not asked for, since there is no token")
		return
	}
	isAway := false
	v.step(ctx, step, func(ctx context.Context) finding {
		answer, found := v.ask(ctx, target, authorization)
		if found.fault == "" {
			found = v.channels(answer, report)
		}
		isAway = found.fault == v.API.Fault || found.fault == Network
		return found
	})
	if isAway {
		v.noChannels = "not asked for, since the API is away"
	}
}
