package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
)

// checkCommand tests every step from the configuration to a first request, and says what to do about the first that fails.
func checkCommand(ctx context.Context, i invocation) int {
	flags := i.flags("check")
	asJSON := flags.Bool("json", false, "print one JSON object, for machines: see docs/check.md")
	timeout := flags.Duration("timeout", 10*time.Second, "give up a step after this long")
	if code, ok := i.parse(flags); !ok {
		return code
	}
	if *timeout <= 0 {
		printLine(i.stderr, "%s: -timeout must be greater than zero, such as 10s", flags.Name())
		return exitConfig
	}
	server.SilenceStandardLog()
	checkConfig, problems := i.checkConfig(*timeout)
	printer := check.NewPrinter(i.stdout)
	if !*asJSON {
		checkConfig.OnStep = printer.Step
	}
	report := check.Run(ctx, checkConfig)
	i.printErrors(problems)
	if *asJSON {
		encoder := json.NewEncoder(i.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false) // it is not embedded in HTML
		_ = encoder.Encode(report)   // there is no other place to report an error
	} else {
		printer.Summary(report)
	}
	switch {
	case len(problems) > 0:
		return exitConfig
	case !report.OK:
		return exitFailure
	}
	return exitOK
}

// checkConfig returns what to check. With an invalid configuration, that is the only step.
func (i invocation) checkConfig(timeout time.Duration) (check.Config, []config.Error) {
	began := time.Now()
	c, problems := config.Load(i.environ)
	problems = append(problems, c.LateFiles...)
	checkConfig := check.Config{Timeout: timeout}
	warnings := append(config.UnknownVariables(i.environ), unreadableProxy(config.Environment(i.environ))...)
	if len(problems) == 0 {
		ignored, err := i.fillCheckConfig(&checkConfig, c)
		if err != nil {
			problems = append(problems, config.Error{Variable: "ETRUSTED_ACCOUNTS_DIR", Message: err.Error()})
		}
		warnings = append(warnings, ignored...)
	}
	step := check.Step{Name: "configuration", Status: check.StatusOK, Text: "settings are valid", Warnings: warnings}
	if len(problems) > 0 {
		var names, texts []string
		for _, problem := range problems {
			names, texts = append(names, problem.Variable), append(texts, problem.Error())
		}
		step.Status, step.Cause = check.StatusFailed, check.CauseConfiguration
		step.Text, step.Advice = "invalid: "+strings.Join(names, ", "), strings.Join(texts, "; ")+"."
	}
	step.Seconds = time.Since(began).Seconds()
	checkConfig.Configuration = step
	return checkConfig, problems
}

// unreadableProxy warns about a proxy URL that net/http silently ignores. The URL is not repeated, because it may contain a
// password.
func unreadableProxy(variables map[string]string) []string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		_, err := url.Parse(variables[name])
		_, errAsHost := url.Parse("http://" + variables[name])
		if err != nil && errAsHost != nil {
			return []string{name + " is not a URL, so it has no effect: set it as http://HOST:PORT, or unset it"}
		}
	}
	return nil
}
