package main

import (
	"net/http"
	"net/url"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/harden"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// wire adds what to check to config. It returns warnings, and an error about ETRUSTED_ACCOUNTS_DIR.
func (i invocation) wire(config *check.Config, c config) (warnings []string, err error) {
	config.Login = check.Server{Name: "login server", Variable: "ETRUSTED_TOKEN_URL", Standard: isStandard("ETRUSTED_TOKEN_URL", c.TokenURL), Cause: check.CauseLoginServer}
	config.Login.URL, err = url.Parse(c.TokenURL)
	if err != nil { // it has been parsed before
		return nil, err
	}
	config.API = check.Server{Name: "API", Variable: "ETRUSTED_API_URL", URL: c.upstream, Standard: isStandard("ETRUSTED_API_URL", c.APIURL), Cause: check.CauseAPI}
	config.Audience, config.Scopes = c.Audience, c.Scopes
	config.Accounts, warnings, err = c.allOrigins()
	config.Files = append(c.files(), accountFiles(config.Accounts)...)
	if file := environment(i.environ)["SSL_CERT_FILE"]; file != "" {
		config.Files = append(config.Files, check.File{Path: file, CABundle: true})
	}
	config.WorldReadable = harden.WorldReadable
	config.Transport = newLoginTransport()
	config.UserAgent = "etrusted-broker/" + version
	if c.store != nil {
		config.Store = &check.Store{Address: c.store.Address(), SelfTest: redisstore.New(redisstore.Config{Options: *c.store}).Try}
	}
	config.App = c.appListener()
	config.Admin = c.adminListener()
	return warnings, err
}

// isStandard reports whether a variable has its default.
func isStandard(name, value string) bool {
	for _, v := range variables() {
		if v.name == name {
			return v.fallback == value
		}
	}
	return false
}

// allOrigins are those of all accounts, the default one first.
func (c config) allOrigins() (all []check.Account, ignored []string, err error) {
	accounts, err := tokensource.NewAccounts(tokensource.AccountsConfig{
		Default:   c.defaultOrigin(),
		Dir:       c.AccountsDir,
		Source:    tokensource.Config{Endpoint: tokensource.TokenEndpoint{URL: c.TokenURL, Transport: &http.Transport{}}}, // required, but not used without Run
		OnSkipped: func(problem string) { ignored = append(ignored, problem) },
	})
	if err != nil {
		return nil, nil, err
	}
	for _, snapshot := range accounts.Snapshots() {
		source, _ := accounts.Source(snapshot.Account) // no account is removed, because Run was not called
		all = append(all, check.Account{Name: snapshot.Account, Credentials: source.CredentialSource()})
	}
	return all, ignored, nil
}

// accountFiles are those that credentials are read from.
func accountFiles(accounts []check.Account) []check.File {
	var files []check.File
	for _, account := range accounts {
		for _, part := range []tokensource.CredentialField{account.Credentials.ID, account.Credentials.Secret} {
			if part.File != "" {
				files = append(files, check.File{Path: part.File, Secret: true})
			}
		}
	}
	return files
}

// files are those that the variables name, but for credentials.
func (c config) files() []check.File {
	var files []check.File
	for _, file := range []check.File{{Path: c.AccessKeyFile, Secret: true}, {Path: c.TLSKeyFile, Secret: true}, {Path: c.TokenStoreFile, Secret: true}, {Path: c.TLSCertFile}, {Path: c.TLSClientCAFile}} {
		if file.Path != "" {
			files = append(files, file)
		}
	}
	return files
}
