package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/printable"
	"etrusted-broker/internal/server"
)

// checkCommand tests every step from the configuration to a first request, and says what to do about the first that fails.
func checkCommand(ctx context.Context, i *invocation) error {
	flags := i.flags()
	asJSON := flags.Bool("json", false, "print one JSON object, for machines: see docs/check.md")
	timeout := flags.Duration("timeout", 10*time.Second, "give up a request or another step after this long")
	if err := i.parseNoArgs(flags); err != nil {
		return err
	}
	if *timeout <= 0 {
		return exitError{exitUsageOrConfig, "-timeout must be greater than zero, such as 10s"}
	}
	if err := i.announcePackageVariables(); err != nil {
		return err
	}
	server.SilenceStandardLog()
	checkConfig := i.loadCheckConfig()
	checkConfig.Timeout = *timeout
	printer := checkPrinter{i.stdout, map[string]bool{}}
	if !*asJSON {
		checkConfig.OnStep = printer.step
	}
	report := check.Run(ctx, checkConfig)
	if *asJSON {
		encoder := json.NewEncoder(i.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false) // it is not embedded in HTML
		_ = encoder.Encode(report)   // there is no other place to report an error
	} else {
		printer.summary(report)
	}
	switch {
	case checkConfig.Configuration.Cause != "":
		return exitError{code: exitUsageOrConfig}
	case !report.OK:
		return exitError{code: exitFailure}
	}
	return nil
}

// loadCheckConfig returns what to check. With an invalid configuration, that is the only step.
func (i invocation) loadCheckConfig() check.Config {
	began, variables := time.Now(), config.EnvironToMap(i.environ)
	c, problems := config.Load(i.environ)
	problems = append(problems, c.LateFiles...)
	improveFileErrors(problems, variables)
	// crypto/x509 ignores a missing file, and would wait for a pipe.
	if path := variables["SSL_CERT_FILE"]; path != "" && len(c.IneffectiveVariables) == 0 && check.TextFileProblem(path) != "" {
		problems = append(problems, config.Error{Variable: "SSL_CERT_FILE", Message: check.TextFileProblem(path)})
	}
	proxyProblems, warnings := checkHTTPSProxyURL(variables)
	problems = append(problems, proxyProblems...)
	warnings = append(warnings, c.IneffectiveVariables...)
	var checkConfig check.Config
	if len(problems) == 0 {
		var more []string
		checkConfig, more, problems = i.checkConfigFrom(c)
		warnings = append(warnings, more...)
	}
	checkConfig.Configuration, checkConfig.Began = check.Passed("settings are valid", slices.Concat(c.UnknownVariables, warnings)...), began
	if len(problems) > 0 {
		checkConfig.Configuration = invalidConfigurationStep(problems, c.UnknownVariables, warnings)
	}
	return checkConfig
}

// improveFileErrors replaces the messages about files that cannot be used by better ones.
func improveFileErrors(problems []config.Error, variables map[string]string) {
	for i, problem := range problems {
		isFile := strings.HasSuffix(problem.Variable, "_FILE") && !strings.HasPrefix(problem.Message, "must be ") // a path
		if better := check.TextFileProblem(variables[problem.Variable]); isFile && better != "" {
			problems[i].Message = better
		}
	}
}

// invalidConfigurationStep returns the result for problems. If a variable is not set, a misspelt name comes first.
func invalidConfigurationStep(problems []config.Error, unknownVariables, warnings []string) check.Step {
	var lines []string
	for _, problem := range problems {
		lines = append(lines, problem.Error())
	}
	if strings.HasPrefix(problems[0].Message, "is not set") {
		lines = slices.Concat(unknownVariables, lines)
	} else {
		warnings = slices.Concat(unknownVariables, warnings)
	}
	step := check.Failed(check.CauseConfiguration, problems[0].Code(), lines[0], strings.Join(append(lines[1:], "'etrusted-broker config' shows the current values."), "\n"))
	step.Warnings = warnings
	return step
}

// checkHTTPSProxyURL returns what is wrong with the URL of a proxy. The URL is not repeated, because it may contain a password.
func checkHTTPSProxyURL(variables map[string]string) (problems []config.Error, warnings []string) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		parsed, err := url.Parse(variables[name])
		_, errAsHost := url.Parse("http://" + variables[name])
		switch {
		case err != nil && errAsHost != nil:
			return nil, []string{name + " is not a URL, so it has no effect: set it as http://HOST:PORT, or unset it"}
		case err == nil && strings.Contains(parsed.Path+parsed.Opaque, "@"): // a slash ends the authority: the host is half of the password
			return []config.Error{{Variable: name, Message: "is not a URL: in its password, write / as %2F, @ as %40 and : as %3A"}}, nil
		}
	}
	return nil, nil
}

// checkPrinter writes a check as text: one line per step, as soon as it has ended, and what to do below it.
type checkPrinter struct {
	w       io.Writer
	advised map[string]bool
}

var statusMarks = map[check.Status]string{check.StatusOK: "✓", check.StatusFailed: "✗", check.StatusSkipped: "–"}

// step prints a step. It does not repeat advice.
func (p checkPrinter) step(s check.Step) {
	duration := fmt.Sprintf("%.1f s", s.Seconds)
	switch {
	case s.Status == check.StatusSkipped:
		duration = ""
	case s.Seconds < 1:
		duration = fmt.Sprintf("%.0f ms", 1000*s.Seconds)
	}
	text := s.Text
	if s.Code != "" {
		text += " [" + s.Code + "]"
	}
	p.line("%s %-20s %7s  %s", statusMarks[s.Status], s.Title(), duration, text) // the longest name has 19 characters
	for _, warning := range s.Warnings {
		p.line("      ! %s", warning)
	}
	if s.Advice == "" || p.advised[s.Advice] {
		return
	}
	p.advised[s.Advice] = true
	if !strings.Contains(s.Advice, "\n") {
		p.line("      What to do: %s", s.Advice)
		return
	}
	p.line("      What to do:")
	for line := range strings.Lines(s.Advice) {
		p.line("        %s", strings.TrimSpace(line))
	}
}

func (p checkPrinter) summary(r check.Report) {
	p.line("%s", r.Summary)
	if r.Curl != "" {
		p.line("With the broker running, try: %s", r.Curl)
	}
}

// line ignores errors, which could be reported only on the same terminal. Package check bounds the length of texts from peers.
func (p checkPrinter) line(format string, args ...any) {
	_, _ = fmt.Fprintln(p.w, printable.Escape(strings.TrimRight(fmt.Sprintf(format, args...), " "), math.MaxInt))
}
