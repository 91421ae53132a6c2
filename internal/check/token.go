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

// rejectedAdvice lists what to check if the login server rejects the credentials.
const rejectedAdvice = `In the eTrusted Control Centre (Settings > "SSO Client Management", administrators only), check:
1. "Client enabled" is green.
2. The Client ID is prefix and Identifier together, as "Show" displays it.
3. The Client Secret is the one that "Show" displays now, without quotes or spaces.
4. Both belong to the same client.
5. The client belongs to the environment of ETRUSTED_TOKEN_URL: production or QA.`

// checkToken requests a token, and returns the value for the Authorization header, or "" without a token.
func (c *checker) checkToken(ctx context.Context, account Account, report *AccountReport) string {
	step := Step{Name: "token", Account: account.Name, Target: c.login.URL.String()}
	set := c.sets[account.Name]
	switch {
	case set == nil:
		c.skipStep(ctx, step, "credential files are not readable")
		return ""
	case c.login.down != "":
		c.skipStep(ctx, step, c.login.down)
		return ""
	}
	began := time.Now()
	authorization, lifetime, failure := c.fetchToken(ctx, account, *set)
	if c.login.settle() {
		began = c.login.since
		c.checkClock(ctx) // before the token step, because a wrong clock may be why that one fails
	}
	switch {
	case c.login.down != "":
		c.skipStep(ctx, step, c.login.down)
	case failure != nil:
		result := c.login.blame(c.describeRefusal(account, set.Credentials, failure))
		result.Text = account.Credentials.NameFiles(set.Environment, result.Text)
		result.Advice = account.Credentials.NameFiles(set.Environment, result.Advice)
		c.finishStep(ctx, step, began, result)
		if failure.Outcome == tokensource.OutcomeUnavailable { // hundreds of accounts would wait for hundreds of timeouts
			c.login.down = "login server unavailable"
		}
	case authorization != "": // or the check was interrupted
		report.TokenOK, report.LifetimeSeconds = true, lifetime.Seconds()
		c.finishStep(ctx, step, began, c.describeToken(account, *set, strings.TrimPrefix(authorization, "Bearer "), report))
	}
	return authorization
}

// fetchToken makes one token request, exactly as the broker makes it.
func (c *checker) fetchToken(ctx context.Context, account Account, set tokensource.CredentialSet) (authorization string, lifetime time.Duration, failure *tokensource.RefreshError) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	source, err := tokensource.New(tokensource.Config{
		Account: account.Name,
		// As values, because the files may change meanwhile.
		Credentials: tokensource.CredentialSource{
			ID:     tokensource.CredentialField{Name: account.Credentials.ID.Name, Value: set.ID},
			Secret: tokensource.CredentialField{Name: account.Credentials.Secret.Name, Value: set.Secret},
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
		return "", 0, &tokensource.RefreshError{Outcome: tokensource.OutcomeInvalidResponse, Reason: err.Error()}
	}
	source.Run(running) // which calls OnRefresh
	authorization, _, _ = source.Current()
	snapshot := source.Snapshot()
	return authorization, snapshot.Expires.Sub(snapshot.Issued), failure
}

// describeToken describes a token, and adds its claims to the account's report.
func (c *checker) describeToken(account Account, set tokensource.CredentialSet, token string, report *AccountReport) Step {
	c.redact.addSecret(token)
	audience := cmp.Or(set.Environment.Audience, c.Audience)
	text := fmt.Sprintf("received%s, valid for %.0f s", from(set.Environment.TokenURL != "", c.login), report.LifetimeSeconds)
	contents, ok := readClaims(token)
	if !ok {
		return Passed(text + "; opaque token, contents unknown")
	}
	report.Audience, report.Scopes, report.Roles = c.redact.names(contents.audience), c.redact.names(contents.scopes), c.redact.names(contents.roles)
	for i, names := range [][]string{report.Audience, report.Scopes, report.Roles} {
		if len(names) > 0 {
			text += "; " + []string{"audience", "scopes", "roles"}[i] + " " + strings.Join(names, ", ")
		}
	}
	var warnings []string
	if audience != "" && !slices.Contains(contents.audience, audience) {
		warnings = append(warnings, account.Credentials.NameFiles(set.Environment, "the token is not for the audience in ETRUSTED_AUDIENCE, so the API may reject it"))
	}
	if contents.client != "" && contents.client != set.ID.Reveal() {
		warnings = append(warnings, "the token was issued to a different client")
	}
	if seconds := contents.lifetime.Seconds(); seconds > 0 && seconds < report.LifetimeSeconds-1 {
		warnings = append(warnings, fmt.Sprintf("the token expires earlier than the login server said, after %.0f s", seconds))
	}
	return Passed(text, warnings...)
}

// describeRefusal describes a failed token request, the likely cause first.
func (c *checker) describeRefusal(account Account, pair tokensource.Credentials, failure *tokensource.RefreshError) Step {
	isBlocked := failure.Status == http.StatusUnauthorized || failure.Status == http.StatusForbidden
	result := Failed(CauseLoginServer, failure.Reason, failure.Advice)
	switch {
	case failure.Status == http.StatusTooManyRequests:
		result.Text = "too many token requests: " + failure.Reason
		result.Advice += " eTrusted reviews accounts with an abnormal volume."
	case failure.Outcome == tokensource.OutcomeUnavailable && isBlocked: // by a firewall, with a page
		result.Cause = CauseNetwork
	case failure.Outcome == tokensource.OutcomeUnavailable:
	case (c.CustomAudience || c.own(account).Audience != "") && strings.Contains(failure.Reason, "access_denied"):
		result = Failed(CauseConfiguration, "ETRUSTED_AUDIENCE is set, and was probably refused: "+failure.Reason, "Unset ETRUSTED_AUDIENCE, or correct it.\n"+rejectedAdvice)
	case failure.Parameters:
		result.Cause = CauseConfiguration
	case failure.Outcome != tokensource.OutcomeRejected:
		result.Cause = c.login.wrongServerCause()
	default:
		result.Cause, result.Advice = CauseCredentials, rejectedAdvice
		if hints := account.Credentials.Hints(pair); len(hints) > 0 {
			result.Text = strings.TrimSuffix(hints[0], ".") + "; " + failure.Reason
			result.Advice = strings.Join(append(hints[1:], rejectedAdvice), "\n")
		}
	}
	result.Code = failure.Code()
	return result
}
