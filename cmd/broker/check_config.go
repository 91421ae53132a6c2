package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"etrusted-broker/internal/callers"
	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/harden"
	"etrusted-broker/internal/server"
	"etrusted-broker/internal/spelling"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// checkConfigFrom returns what is to be checked with a valid configuration, with the warnings and problems of its directories.
func (i invocation) checkConfigFrom(c config.Config) (_ check.Config, warnings []string, problems []config.Error) {
	accounts, warnings, err := accountsToCheck(c)
	if err != nil {
		problems = append(problems, config.Error{Variable: "ETRUSTED_ACCOUNTS_DIR", Message: err.Error()})
	}
	reading, keyFiles, err := readCallersAndKeyFiles(c)
	if invalid, ok := errors.AsType[config.Error](err); ok {
		problems = append(problems, invalid)
	}
	files := []check.FileToTest{
		{Path: c.AccessKeyFile, Secret: true}, {Path: c.TLSKeyFile, Secret: true}, {Path: c.TokenStoreFile, Secret: true},
		{Path: c.TLSCertFile}, {Path: c.TLSClientCAFile},
	}
	for _, account := range accounts {
		files = append(files, check.FileToTest{Path: account.Credentials.ID.File, Secret: true}, check.FileToTest{Path: account.Credentials.Secret.File, Secret: true})
	}
	if len(c.IneffectiveVariables) == 0 {
		files = append(files, check.FileToTest{Path: config.EnvironToMap(i.environ)["SSL_CERT_FILE"]})
	}
	app, admin, tcp := appListener(c), adminListener(c), server.NewUpstreamDialer(c)
	toLogin := server.NewLoginTransport(tcp)
	checkConfig := check.Config{
		Login: check.ServerToTest{Name: "login server", Variable: "ETRUSTED_TOKEN_URL", URL: c.Login, Transport: toLogin, Cause: check.CauseLoginServer},
		API:   check.ServerToTest{Name: "API", Variable: "ETRUSTED_API_URL", URL: c.API, Transport: server.NewBodylessAPITransport(c.API, c, tcp), Cause: check.CauseAPI},
		OwnServer: func(s check.ServerToTest, own *url.URL, file string) check.ServerToTest {
			tcp.UseResolverFor(own.Hostname())
			s.Variable, s.URL, s.OtherServer, s.Intended = file, own, check.CauseConfiguration, similarETrustedURL(own)
			if s.Cause == check.CauseAPI {
				s.Transport = server.NewBodylessAPITransport(own, c, tcp)
			}
			return s
		},
		Proxy: http.ProxyFromEnvironment,

		Audience:       c.Audience,
		CustomAudience: !isDefaultValue("ETRUSTED_AUDIENCE", c.Audience),
		Scopes:         c.Scopes,
		Accounts:       accounts,
		Files:          slices.DeleteFunc(append(files, keyFiles...), func(file check.FileToTest) bool { return file.Path == "" }),
		OtherReaders:   harden.ReadersBesidesBroker,
		UserAgent:      "etrusted-broker/" + version,
		AppURL:         app.url(),
		Curl:           curlExample(c, app, accounts, reading.Callers),
	}
	for _, s := range []*check.ServerToTest{&checkConfig.Login, &checkConfig.API} {
		if s.OtherServer = check.CauseNetwork; !isDefaultValue(s.Variable, s.URL.String()) {
			s.OtherServer, s.Intended = check.CauseConfiguration, similarETrustedURL(s.URL)
		}
	}
	if c.Store != nil {
		checkConfig.ExtraSteps = append(checkConfig.ExtraSteps, tokenStoreWarningStep(*c.Store))
	}
	checkConfig.ExtraSteps = append(checkConfig.ExtraSteps, app.step(nil), admin.step(&app))
	return checkConfig, append(warnings, reading.Problems...), problems
}

// isDefaultValue reports whether value is the default of a variable.
func isDefaultValue(name, value string) bool {
	return slices.ContainsFunc(config.Variables(), func(v config.Variable) bool { return v.Name == name && v.Fallback == value })
}

// similarETrustedURL returns the URL of eTrusted that u misspells in at most three characters; empty if no such URL is known.
func similarETrustedURL(u *url.URL) string {
	nearest, edits := spelling.Nearest(u.String(), []string{
		"https://api.etrusted.com", "https://login.etrusted.com/oauth/token",
		"https://api.etrusted.site", "https://login-qa.etrusted.com/oauth/token",
	})
	if edits == 0 || edits > 3 {
		return ""
	}
	return nearest
}

// accountsToCheck returns all accounts, the default account first, and a warning for each that cannot be used.
func accountsToCheck(c config.Config) (all []check.AccountToTest, skippedWarnings []string, err error) {
	accounts, err := tokensource.NewAccounts(tokensource.AccountsConfig{
		Default:   c.DefaultCredentials(),
		Dir:       c.AccountsDir,
		Source:    tokensource.Config{Endpoint: tokensource.TokenEndpoint{URL: c.TokenURL, Transport: &http.Transport{}}}, // required, but not used without Run
		OnSkipped: func(problem string) { skippedWarnings = append(skippedWarnings, problem) },
	})
	if err != nil {
		return nil, nil, err
	}
	for _, snapshot := range accounts.Snapshots() {
		source, _ := accounts.Source(snapshot.Account) // no account is removed before Run is called
		all = append(all, check.AccountToTest{Name: snapshot.Account, Credentials: source.CredentialSource()})
	}
	return all, skippedWarnings, nil
}

// readCallersAndKeyFiles returns the callers with what is wrong with their files, and the files that contain their keys.
func readCallersAndKeyFiles(c config.Config) (reading callers.Reading, keyFiles []check.FileToTest, _ error) {
	if c.CallersDir == "" {
		return reading, nil, nil
	}
	directory, reading, err := server.OpenCallers(c)
	for _, caller := range reading.Callers {
		if caller.Keys != nil {
			keyFiles = append(keyFiles, check.FileToTest{Path: directory.KeyFile(caller.Name), Secret: true})
		}
	}
	return reading, keyFiles, err
}

// tokenStoreWarningStep tests the token store. A failure is only a warning: without a store, each broker fetches its own token.
func tokenStoreWarningStep(options redisstore.Options) check.ExtraStep {
	return check.ExtraStep{Name: "token store", Target: options.Address(), Run: func(ctx context.Context) check.Step {
		if err := redisstore.New(options, nil).SelfTest(ctx); err != nil {
			return check.Passed("not in use; the broker works without it", "the token is not shared: the store "+err.Error())
		}
		return check.Passed("works")
	}}
}
