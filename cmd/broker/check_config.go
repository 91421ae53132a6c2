package main

import (
	"net/http"
	"slices"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/harden"
	"etrusted-broker/internal/server"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// fillCheckConfig sets what is to be checked. It returns warnings, and an error about ETRUSTED_ACCOUNTS_DIR.
func (i invocation) fillCheckConfig(checkConfig *check.Config, c config.Config) (warnings []string, err error) {
	checkConfig.Login = check.Server{Name: "login server", Variable: "ETRUSTED_TOKEN_URL", URL: c.Login, Standard: isStandard("ETRUSTED_TOKEN_URL", c.TokenURL), Cause: check.CauseLoginServer}
	checkConfig.API = check.Server{Name: "API", Variable: "ETRUSTED_API_URL", URL: c.API, Standard: isStandard("ETRUSTED_API_URL", c.APIURL), Cause: check.CauseAPI}
	checkConfig.Audience, checkConfig.Scopes = c.Audience, c.Scopes
	checkConfig.Accounts, warnings, err = allOrigins(c)
	files := []check.File{
		{Path: c.AccessKeyFile, Secret: true}, {Path: c.TLSKeyFile, Secret: true}, {Path: c.TokenStoreFile, Secret: true},
		{Path: c.TLSCertFile}, {Path: c.TLSClientCAFile},
	}
	for _, account := range checkConfig.Accounts {
		files = append(files, check.File{Path: account.Credentials.ID.File, Secret: true}, check.File{Path: account.Credentials.Secret.File, Secret: true})
	}
	files = append(files, check.File{Path: config.Environment(i.environ)["SSL_CERT_FILE"], CABundle: true})
	checkConfig.Files = slices.DeleteFunc(files, func(file check.File) bool { return file.Path == "" })
	checkConfig.WorldReadable = harden.WorldReadable
	checkConfig.Transport = server.NewLoginTransport(server.NewNetwork(c))
	checkConfig.UserAgent = "etrusted-broker/" + version
	if c.Store != nil {
		checkConfig.Store = &check.Store{Address: c.Store.Address(), SelfTest: redisstore.New(*c.Store, nil).SelfTest}
	}
	checkConfig.App = listenAddress("app's listener", "BROKER_LISTEN", c.Listen)
	checkConfig.App.TLS, checkConfig.App.RequiresClientCert = c.TLSCertFile != "", c.TLSClientCAFile != ""
	if c.AdminListen != "" {
		admin := listenAddress("admin listener", "BROKER_ADMIN_LISTEN", c.AdminListen)
		checkConfig.Admin = &admin
	}
	return warnings, err
}

// isStandard reports whether value is the default of a variable.
func isStandard(name, value string) bool {
	return slices.ContainsFunc(config.Variables(), func(v config.Variable) bool { return v.Name == name && v.Fallback == value })
}

// allOrigins returns the credential sources of all accounts, the default account first.
func allOrigins(c config.Config) (all []check.Account, ignored []string, err error) {
	accounts, err := tokensource.NewAccounts(tokensource.AccountsConfig{
		Default:   c.DefaultCredentials(),
		Dir:       c.AccountsDir,
		Source:    tokensource.Config{Endpoint: tokensource.TokenEndpoint{URL: c.TokenURL, Transport: &http.Transport{}}}, // required, but not used without Run
		OnSkipped: func(problem string) { ignored = append(ignored, problem) },
	})
	if err != nil {
		return nil, nil, err
	}
	for _, snapshot := range accounts.Snapshots() {
		source, _ := accounts.Source(snapshot.Account) // no account is removed before Run is called
		all = append(all, check.Account{Name: snapshot.Account, Credentials: source.CredentialSource()})
	}
	return all, ignored, nil
}
