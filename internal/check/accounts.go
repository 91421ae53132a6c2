package check

import (
	"context"
	"time"

	"etrusted-broker/tokensource"
)

// accountChecks tests all accounts, one after the other.
type accountChecks struct {
	*checker
	login, api   *dateRecorder
	clockChecked bool
	// skipToken and skipChannels say why no more requests are sent to that server; empty if they are.
	skipToken, skipChannels string
}

// accounts requests a token for each account, and the channels that the account can see.
func (c *checker) accounts(ctx context.Context, loginOpen, apiOpen bool) {
	checks := &accountChecks{checker: c, login: &dateRecorder{next: c.Transport}, api: &dateRecorder{next: c.Transport}}
	if !loginOpen {
		checks.skipToken = "skipped: login server unreachable"
	}
	if !apiOpen {
		checks.skipChannels = "skipped: API unreachable"
	}
	for _, account := range c.Accounts {
		report := AccountReport{Account: account.Name, Audience: []string{}, Scopes: []string{}, Roles: []string{}}
		authorization := checks.checkToken(ctx, account, &report)
		checks.checkChannels(ctx, account, authorization, &report)
		c.report.Accounts = append(c.report.Accounts, report)
	}
	checks.checkClock(ctx) // if no account had readable files
	c.Transport.CloseIdleConnections()
}

// checkToken returns the value for the Authorization header, or "" without a token. If the server is the cause of the
// failure, the other accounts would fail in the same way, and hundreds of them would wait for hundreds of timeouts.
func (c *accountChecks) checkToken(ctx context.Context, account Account, report *AccountReport) (authorization string) {
	step := Step{Name: "token", Account: account.Name, Target: c.Login.URL.String()}
	if c.skipToken != "" {
		c.checkClock(ctx)
		c.skip(ctx, step, c.skipToken)
		return ""
	}
	if !c.isReadable(account) {
		c.skip(ctx, step, "skipped: credential files are not readable")
		return ""
	}
	began := time.Now()
	result, ok := fetchToken(ctx, tokensource.Config{
		Account:     account.Name,
		Credentials: account.Credentials,
		Endpoint: tokensource.TokenEndpoint{
			URL:       c.Login.URL.String(),
			Audience:  c.Audience,
			Scopes:    c.Scopes,
			Transport: c.login,
			Timeout:   c.Timeout,
			UserAgent: c.UserAgent,
		},
	})
	duration := time.Since(began)
	if !ok {
		return ""
	}
	if c.login.used() {
		c.checkClock(ctx) // before the token step, because a wrong clock may be why that one fails
	}
	if !c.finish(ctx, step, duration, c.describeToken(account, result, report)) && result.failure != nil && result.failure.Outcome == tokensource.OutcomeUnavailable {
		c.skipToken = "skipped: login server unavailable"
	}
	return result.authorization
}

// checkClock runs the clock step, once.
func (c *accountChecks) checkClock(ctx context.Context) {
	if !c.clockChecked {
		c.clockChecked = true
		c.clock(ctx, c.login.skew())
	}
}

func (c *accountChecks) checkChannels(ctx context.Context, account Account, authorization string, report *AccountReport) {
	target := c.API.URL.JoinPath("channels").String()
	step := Step{Name: "GET /channels", Account: account.Name, Target: target}
	switch {
	case c.skipChannels != "":
		c.skip(ctx, step, c.skipChannels)
		return
	case authorization == "":
		c.skip(ctx, step, "skipped: no token")
		return
	}
	unavailable := false
	c.step(ctx, step, func(ctx context.Context) finding {
		response, found := c.getChannels(ctx, target, authorization)
		if found.cause == "" {
			found = c.describeChannels(response, report)
		}
		unavailable = found.cause == c.API.Cause || found.cause == CauseNetwork
		return found
	})
	if unavailable {
		c.skipChannels = "skipped: API unavailable"
	}
}
