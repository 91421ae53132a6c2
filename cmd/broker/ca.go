package main

import (
	"context"
	"slices"
	"strings"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
	"etrusted-broker/proxy/localca"
)

// caCommand prints the certificate of the broker's CA and how to make an app trust it, or a bundle. It creates the CA if it does not
// exist yet, so that an app can be prepared before the broker runs.
func caCommand(_ context.Context, i *invocation) error {
	flags := i.flags()
	bundle := flags.Bool("bundle", false, "print only a bundle, PEM: this CA and the system's, for programs that accept one file")
	if err := i.parseNoArgs(flags); err != nil {
		return err
	}
	c, problems := config.Load(i.environ)
	problems = slices.DeleteFunc(problems, func(problem config.Error) bool {
		return !slices.Contains([]string{"BROKER_INTERCEPT_CA_DIR", "ETRUSTED_API_URL", "ETRUSTED_TOKEN_URL"}, problem.Variable) // the command needs no others
	})
	if c.InterceptCADir == "" {
		problems = append(problems, config.Error{Variable: "BROKER_INTERCEPT_CA_DIR", Message: "is not set: set it to an empty directory that the broker's user may write to"})
	}
	if err := i.printProblems(problems); err != nil {
		return err
	}
	ca, err := server.OpenOrCreateCA(c)
	if err != nil {
		return i.printProblems([]config.Error{{Variable: "BROKER_INTERCEPT_CA_DIR", Message: err.Error()}})
	}
	if *bundle {
		text, err := localca.BundleWithSystemCAs(ca.CertificatePEM(), config.EnvironToMap(i.environ)["SSL_CERT_FILE"])
		_, _ = i.stdout.Write(text)
		return err
	}
	printLine(i.stdout, "%s\n%s", strings.TrimSpace(string(ca.CertificatePEM()))+"\n", localca.AppTrustInstructions(ca.CertificatePath()))
	return nil
}
