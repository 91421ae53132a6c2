package main

import (
	"context"
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
	authority, err := openCA(c)
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
