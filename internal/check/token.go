package check

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"etrusted-broker/tokensource"
)

// checkToken requests a token, and returns the value for the Authorization header, or "" without a token.
func (c *checker) checkToken(ctx context.Context, account AccountToTest, report *AccountReport) (authorization string) {
	step := Step{Name: "token", Account: account.Name, Target: c.login.URL.String()}
	set, ok := c.sets[account.Name]
	if !ok {
		c.finishStep(step, time.Now(), Skipped("credential files are not readable"))
		return ""
	}
	var failure *tokensource.RefreshError
	c.login.runStep(step, account, func() Step {
		if authorization, failure = c.fetchToken(ctx, account, set, report); failure != nil {
			return c.describeTokenFailure(account, set.Credentials, failure)
		}
		return c.describeToken(account, set, strings.TrimPrefix(authorization, "Bearer "), report)
	})
	if failure != nil && failure.Outcome == tokensource.OutcomeUnavailable { // hundreds of accounts would wait for hundreds of timeouts
		c.login.down = cmp.Or(c.login.down, "login server unavailable")
	}
	return authorization
}

// fetchToken makes one token request, exactly as the broker makes it. An interruption gives neither a token nor a failure.
func (c *checker) fetchToken(ctx context.Context, account AccountToTest, set tokensource.CredentialsAndEnvironment, report *AccountReport) (authorization string, failure *tokensource.RefreshError) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	source, err := tokensource.New(tokensource.Config{
		Account: account.Name,
		// As values, because the files may change meanwhile.
		Credentials: tokensource.CredentialSource{
			ID:     tokensource.CredentialFieldSource{Name: account.Credentials.ID.Name, Value: set.ID},
			Secret: tokensource.CredentialFieldSource{Name: account.Credentials.Secret.Name, Value: set.Secret},
		},
		Endpoint: set.Environment.Endpoint(tokensource.TokenEndpoint{
			URL:       c.Login.URL.String(),
			Audience:  c.Audience,
			Scopes:    c.Scopes,
			Transport: c.login,
			Timeout:   c.Timeout,
			UserAgent: c.UserAgent,
		}),
		OnRefresh: func(event tokensource.RefreshEvent) {
			failure = event.Err
			stop()
		},
	})
	if err != nil {
		return "", &tokensource.RefreshError{Outcome: tokensource.OutcomeInvalidResponse, Reason: err.Error()}
	}
	source.Run(running) // which calls OnRefresh
	authorization, _, _ = source.Current()
	snapshot := source.Snapshot()
	report.TokenOK, report.LifetimeSeconds = authorization != "", snapshot.Expires.Sub(snapshot.Issued).Seconds()
	return authorization, failure
}

// describeToken describes a token, and adds its claims to the account's report.
func (c *checker) describeToken(account AccountToTest, set tokensource.CredentialsAndEnvironment, token string, report *AccountReport) Step {
	c.redact.addSecret(token)
	text := fmt.Sprintf("received%s, valid for %.0f s", c.login.ownServerSuffix(), report.LifetimeSeconds)
	contents, ok := readClaims(token)
	if !ok {
		return Passed(text + "; opaque token, contents unknown")
	}
	report.Audience, report.Scopes, report.Roles = c.redact.sanitizeNames(contents.audience), c.redact.sanitizeNames(contents.scopes), c.redact.sanitizeNames(contents.roles)
	for i, names := range [][]string{report.Audience, report.Scopes, report.Roles} {
		if len(names) > 0 {
			text += "; " + []string{"audience", "scopes", "roles"}[i] + " " + strings.Join(names, ", ")
		}
	}
	var warnings []string
	if audience := cmp.Or(set.Environment.Audience, c.Audience); audience != "" && !slices.Contains(contents.audience, audience) {
		warnings = append(warnings, account.Credentials.ReplaceVariableNames(set.Environment, "the token is not for the audience in ETRUSTED_AUDIENCE, so the API may reject it"))
	}
	if contents.client != "" && contents.client != set.ID.Reveal() {
		warnings = append(warnings, "the token was issued to a different client")
	}
	if seconds := contents.lifetime.Seconds(); seconds > 0 && seconds < report.LifetimeSeconds-1 {
		warnings = append(warnings, fmt.Sprintf("the token expires earlier than the login server said, after %.0f s", seconds))
	}
	return Passed(text, warnings...)
}

// describeTokenFailure describes a failed token request, the likely cause first.
func (c *checker) describeTokenFailure(account AccountToTest, pair tokensource.Credentials, failure *tokensource.RefreshError) Step {
	result := Failed(CauseLoginServer, failure.Code(), failure.Reason, failure.Advice)
	switch {
	case failure.Status == http.StatusTooManyRequests:
		result.Text = "too many token requests: " + failure.Reason
		result.Advice += " eTrusted reviews accounts with an abnormal volume."
	case failure.Outcome == tokensource.OutcomeUnavailable:
		if failure.Status == http.StatusUnauthorized || failure.Status == http.StatusForbidden { // by a firewall, with a page
			result.Cause = CauseNetwork
		}
	case (c.CustomAudience || c.sets[account.Name].Environment.Audience != "") && strings.Contains(failure.Reason, "access_denied"):
		result = Failed(CauseConfiguration, failure.Code(), "ETRUSTED_AUDIENCE is set, and was probably refused: "+failure.Reason, "Unset ETRUSTED_AUDIENCE, or correct it.\n"+tokensource.RejectedChecks)
	case failure.Parameters:
		result.Cause = CauseConfiguration
	case failure.Outcome != tokensource.OutcomeRejected:
		result.Cause = c.login.OtherServer
	default:
		result.Cause, result.Advice = CauseCredentials, tokensource.RejectedChecks
		if hints := account.Credentials.Hints(pair); len(hints) > 0 {
			result.Text = strings.TrimSuffix(hints[0], ".") + "; " + failure.Reason
			result.Advice = strings.Join(append(hints[1:], tokensource.RejectedChecks), "\n")
		}
	}
	return result
}
