package main

import (
	"context"
	"net/url"
	"strings"

	"etrusted-broker/proxy/localca"
)

// caCommand prints the certificate of the broker's own authority, and how an app is made to trust it. It makes the
// authority if there is none yet, so that an app can be prepared before the broker runs.
func caCommand(_ context.Context, i invocation) int {
	c, problems := loadConfig(i.environ)
	problems = only(problems, "BROKER_INTERCEPT_CA_DIR", "ETRUSTED_API_URL", "ETRUSTED_TOKEN_URL") // it needs no others
	if c.InterceptCADir == "" {
		problems = append(problems, configError{"BROKER_INTERCEPT_CA_DIR", "is not set: set it to an empty folder that the broker's user may write to"})
	}
	if len(problems) > 0 {
		i.complain(problems)
		return exitConfig
	}
	authority, err := c.authority()
	if err != nil {
		i.complain([]configError{{"BROKER_INTERCEPT_CA_DIR", err.Error()}})
		return exitConfig
	}
	say(i.stdout, "%s\n%s", strings.TrimSpace(string(authority.CertificatePEM()))+"\n", localca.TrustInstructions(authority.CertificatePath()))
	return exitOK
}

func only(problems []configError, variables ...string) []configError {
	var some []configError
	for _, problem := range problems {
		for _, variable := range variables {
			if problem.variable == variable {
				some = append(some, problem)
			}
		}
	}
	return some
}

// authority opens the broker's own authority, or makes it; nil if there is to be none.
func (c config) authority() (*localca.CA, error) {
	if c.InterceptCADir == "" {
		return nil, nil
	}
	return localca.Open(c.InterceptCADir, []string{c.upstream.Host, c.loginHost()})
}

// loginHost is the login server's host, with its port if it has one.
func (c config) loginHost() string {
	if u, err := url.Parse(c.TokenURL); err == nil {
		return u.Host
	}
	return ""
}
