package check

import (
	"context"
	"time"

	"etrusted-broker/tokensource"
)

// checkAccounts requests a token for each account, and the channels that the account can see, one account after the other.
func (c *checker) checkAccounts(ctx context.Context, loginOpen, apiOpen bool) {
	c.login, c.api = &dateRecorder{next: c.Transport}, &dateRecorder{next: c.Transport}
	if !loginOpen {
		c.skipToken = "skipped: login server unreachable"
	}
	if !apiOpen {
		c.skipChannels = "skipped: API unreachable"
	}
	for _, account := range c.Accounts {
		report := AccountReport{Account: account.Name, Audience: []string{}, Scopes: []string{}, Roles: []string{}}
		authorization := c.checkToken(ctx, account, &report)
		c.checkChannels(ctx, account, authorization, &report)
		c.report.Accounts = append(c.report.Accounts, report)
	}
	c.checkClock(ctx) // if no account had readable files
	c.Transport.CloseIdleConnections()
}

// checkToken returns the value for the Authorization header, or "" without a token. If the server is the cause of the
// failure, the other accounts would fail in the same way, and hundreds of them would wait for hundreds of timeouts.
func (c *checker) checkToken(ctx context.Context, account Account, report *AccountReport) (authorization string) {
	step := Step{Name: "token", Account: account.Name, Target: c.Login.URL.String()}
	if c.skipToken != "" {
		c.checkClock(ctx)
		c.skipStep(ctx, step, c.skipToken)
		return ""
	}
	if !c.isReadable(account) {
		c.skipStep(ctx, step, "skipped: credential files are not readable")
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
	if c.login.used {
		c.checkClock(ctx) // before the token step, because a wrong clock may be why that one fails
	}
	stepPassed := c.finishStep(ctx, step, duration, c.describeToken(account, result, report))
	if !stepPassed && result.failure != nil && result.failure.Outcome == tokensource.OutcomeUnavailable {
		c.skipToken = "skipped: login server unavailable"
	}
	return result.authorization
}

func (c *checker) checkChannels(ctx context.Context, account Account, authorization string, report *AccountReport) {
	step := Step{Name: "GET /channels", Account: account.Name, Target: c.channelsURL().String()}
	switch {
	case c.skipChannels != "":
		c.skipStep(ctx, step, c.skipChannels)
		return
	case authorization == "":
		c.skipStep(ctx, step, "skipped: no token")
		return
	}
	var cause Cause
	c.runStep(ctx, step, func(ctx context.Context) Step {
		result := c.getChannels(ctx, authorization, report)
		cause = result.Cause
		return result
	})
	if cause == c.API.Cause || cause == CauseNetwork {
		c.skipChannels = "skipped: API unavailable"
	}
}
