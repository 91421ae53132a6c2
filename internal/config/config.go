package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/hostport"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// Config declares the variables, from which parsing, help and 'broker config' are made. The names are a contract with users.
type Config struct {
	ClientID         tokensource.Secret `env:"ETRUSTED_CLIENT_ID" help:"the Client ID: prefix and identifier together"`
	ClientIDFile     string             `env:"ETRUSTED_CLIENT_ID_FILE" guards:"yes" shape:"path" help:"a file that contains the Client ID"`
	ClientSecret     tokensource.Secret `env:"ETRUSTED_CLIENT_SECRET" help:"the Client Secret"`
	ClientSecretFile string             `env:"ETRUSTED_CLIENT_SECRET_FILE" guards:"yes" shape:"path" help:"a file that contains the Client Secret"`

	AccountsDir string `env:"ETRUSTED_ACCOUNTS_DIR" guards:"yes" shape:"path" help:"a directory with one directory per additional account: NAME/client_id and NAME/client_secret, and optionally NAME/api_url, token_url, audience and scopes"`

	APIURL   string   `env:"ETRUSTED_API_URL" shape:"url" envDefault:"https://api.etrusted.com" help:"the API: scheme and host"`
	TokenURL string   `env:"ETRUSTED_TOKEN_URL" shape:"url" envDefault:"https://login.etrusted.com/oauth/token" help:"the token endpoint"`
	Audience string   `env:"ETRUSTED_AUDIENCE" shape:"url" envDefault:"https://api.etrusted.com" help:"the audience parameter of the token request"`
	Scopes   []string `env:"ETRUSTED_SCOPES" shape:"scopes" envSeparator:" " help:"scopes, separated by spaces; sent only if set"`

	Listen       string   `env:"BROKER_LISTEN" shape:"address" envDefault:"127.0.0.1:8080" help:"where the app connects: HOST:PORT or unix:///path"`
	AdminListen  string   `env:"BROKER_ADMIN_LISTEN" shape:"address" envDefault:"127.0.0.1:9464" help:"metrics, health and status: HOST:PORT; set but empty turns it off"`
	UnsafeListen bool     `env:"BROKER_UNSAFE_LISTEN" envDefault:"false" help:"allow other machines to reach BROKER_LISTEN without access key or client certificates: everyone who can reach it can use the credentials"`
	AllowedHosts []string `env:"BROKER_ALLOWED_HOSTS" shape:"hosts" envSeparator:"," help:"additional host names that requests may use, comma-separated"`
	Allow        []string `env:"BROKER_ALLOW" guards:"yes" shape:"patterns" envSeparator:"," help:"allowed requests, comma-separated, e.g. GET /reviews/; READ-ONLY allows GET and HEAD; default: all"`
	AllowMode    string   `env:"BROKER_ALLOW_MODE" shape:"word" envDefault:"enforce" help:"enforce, or warn to try an allow list: what it would refuse is forwarded, logged once for each operation, and counted"`

	AccessKey     tokensource.Secret `env:"BROKER_ACCESS_KEY" help:"if set, every request must send it: Authorization: Bearer KEY, or Basic with the key as the password"`
	AccessKeyFile string             `env:"BROKER_ACCESS_KEY_FILE" guards:"yes" shape:"path" help:"a file that contains the access key, or several, one a line; a removed key stays valid for one more minute"`

	CallersDir string `env:"BROKER_CALLERS_DIR" guards:"yes" shape:"path" help:"instead of one access key: a directory with one directory per caller, NAME/key, and optionally NAME/allow, accounts, expires, certificate and uid"`

	TLSCertFile     string `env:"BROKER_TLS_CERT_FILE" guards:"yes" shape:"path" help:"TLS on the app's listener: the certificate with its chain, PEM"`
	TLSKeyFile      string `env:"BROKER_TLS_KEY_FILE" guards:"yes" shape:"path" help:"the private key of that certificate, PEM"`
	TLSClientCAFile string `env:"BROKER_TLS_CLIENT_CA_FILE" guards:"yes" shape:"path" help:"if set, apps must present a certificate signed by one of these CAs, PEM"`

	TokenStore     tokensource.Secret `env:"BROKER_TOKEN_STORE" help:"a Redis or Valkey server through which many brokers share one token: redis://USER:PASSWORD@HOST:PORT/DB, rediss:// for TLS; ?addr=HOST:PORT adds a node of a cluster or, with &master_name=NAME, a Sentinel"`
	TokenStoreFile string             `env:"BROKER_TOKEN_STORE_FILE" guards:"yes" shape:"path" help:"a file that contains that URL; read at startup"`

	TokenWait       time.Duration `env:"BROKER_TOKEN_WAIT" envDefault:"10s" help:"maximum wait of a request while there is no token"`
	UpstreamTimeout time.Duration `env:"BROKER_UPSTREAM_TIMEOUT" envDefault:"60s" help:"maximum wait for the API's response headers"`
	UpstreamHTTP2   bool          `env:"BROKER_UPSTREAM_HTTP2" envDefault:"false" help:"use HTTP/2 to the API instead of HTTP/1.1; it costs more CPU"`
	ShutdownGrace   time.Duration `env:"BROKER_SHUTDOWN_GRACE" envDefault:"25s" help:"time that requests in flight have to finish after SIGTERM"`

	Replay401    bool  `env:"BROKER_REPLAY_401" envDefault:"true" help:"retry once if the API answers 401 and a newer token is available"`
	ReplayBuffer int64 `env:"BROKER_REPLAY_BUFFER" envDefault:"65536" help:"largest body (bytes) kept for that retry"`

	RewriteLinks     bool     `env:"BROKER_REWRITE_LINKS" envDefault:"true" help:"rewrite API URLs in responses to the URL that the app used"`
	TokenEndpoint    bool     `env:"BROKER_TOKEN_ENDPOINT" envDefault:"true" help:"answer the app's own token requests with a placeholder token"`
	InterceptCADir   string   `env:"BROKER_INTERCEPT_CA_DIR" shape:"path" help:"a directory for the broker's own CA: enables CONNECT to the API and the login server; see the command ca"`
	InterceptListen  string   `env:"BROKER_INTERCEPT_LISTEN" shape:"address" help:"HOST:PORT, usually localhost:443: answer there as the API and the login server, for apps whose name resolution leads to the broker; needs BROKER_INTERCEPT_CA_DIR"`
	UpstreamResolver string   `env:"BROKER_UPSTREAM_RESOLVER" shape:"address" help:"IP or IP:PORT of a DNS server for the addresses of the API and the login server, if the system's resolver leads to the broker itself"`
	PassHosts        []string `env:"BROKER_PASS_HOSTS" shape:"hosts" envSeparator:"," help:"other hosts that an app may reach with the broker as its proxy, comma-separated: HOST, *.example.com or *, each with or without a port; their requests and tunnels pass through without a token"`

	AccessLog bool          `env:"BROKER_ACCESS_LOG" envDefault:"false" help:"one log line per request, with a request ID that the API receives too; never with a query or other headers"`
	LogLevel  zapcore.Level `env:"BROKER_LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	LogFormat string        `env:"BROKER_LOG_FORMAT" shape:"word" help:"json or console; unset: console on a terminal, else json"`

	PProf bool `env:"BROKER_PPROF" envDefault:"false" help:"serve Go's profiles at /debug/pprof/ of the admin listener"`

	// Derived by Load.
	API      *url.URL
	Login    *url.URL            // the token endpoint
	Resolver netip.AddrPort      // of BROKER_UPSTREAM_RESOLVER; not valid without it
	Store    *redisstore.Options // nil without a token store
	// AccessKeys are all valid access keys; AccessKey is the first.
	AccessKeys         []tokensource.Secret
	Settings           []DisplayableSetting // all variables, with displayable values
	systemdCredentials string               // the directory of copies that systemd made at the start, which never change; usually empty
	// UnknownVariables are warnings about variables that look like the broker's but are not, and IneffectiveVariables about those
	// that have no effect on this system. They contain names, never values.
	UnknownVariables, IneffectiveVariables []string
	// LateFiles are the problems with files of credentials that are missing or empty. The broker waits for them.
	LateFiles []Error
}

// AllowModeWarn is the value of BROKER_ALLOW_MODE with which requests that the allow list would refuse are forwarded.
const AllowModeWarn = "warn"

// Error is a problem with one variable. Its text never contains the variable's value, because it may be a misplaced secret.
type Error struct {
	Variable, Message string
}

// Error returns the variable and what to do about it.
func (e Error) Error() string { return e.Variable + ": " + e.Message }

// Code returns the code of the section in docs/troubleshooting.md that explains the errors of the variable.
func (e Error) Code() string {
	for _, section := range []struct {
		code  string
		parts []string // of the variables' names
	}{
		{"config-credentials", []string{"CLIENT_ID", "CLIENT_SECRET", "ACCESS_KEY", "ACCOUNTS_DIR"}},
		{"config-callers", []string{"CALLERS"}},
		{"config-token-store", []string{"TOKEN_STORE"}},
		{"config-tls", []string{"TLS"}},
		{"config-ca", []string{"INTERCEPT_CA"}},
		{"config-systemd", []string{"LISTEN_FDS"}},
		{"config-address", []string{"LISTEN", "_URL", "HOSTS", "RESOLVER", "PROXY"}},
	} {
		if slices.ContainsFunc(section.parts, func(part string) bool { return strings.Contains(e.Variable, part) }) {
			return section.code
		}
	}
	return "config-value"
}

// Load reads the configuration from environ, as os.Environ returns it, and validates it. It returns all problems at once,
// except those in LateFiles. It reads the files that variables name and opens no socket. ClientID, ClientSecret and AccessKey
// then have the effective values, whether they come from a variable or a file.
func Load(environ []string) (Config, []Error) {
	variables := EnvironToMap(environ)
	c, invalid := DecodeVariables(variables)
	problems := slices.DeleteFunc(invalid, func(p Error) bool { return isQuoted(variables[p.Variable]) })
	misspelt, unknown := unknownVariables(variables)
	problems = slices.Concat(problems, quotedValueErrors(variables), misspelt)
	c.UnknownVariables, c.IneffectiveVariables = unknown, ineffectiveVariableWarnings(variables)
	c.systemdCredentials = variables["CREDENTIALS_DIRECTORY"]
	c.Scopes = strings.Fields(strings.Join(c.Scopes, " "))
	check := func(variable string, err error) {
		if err != nil && !isQuoted(variables[variable]) { // the quotes are the likely cause
			problems = append(problems, Error{variable, err.Error()})
		}
	}
	require := func(variable string, isValid bool, requirement string) {
		if !isValid {
			check(variable, errors.New(requirement))
		}
	}
	checkCredential := func(variable string, err error) {
		if errors.Is(err, tokensource.ErrHiddenPathNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, tokensource.ErrEmptySecret) {
			c.LateFiles = append(c.LateFiles, Error{variable, err.Error()})
			return
		}
		check(variable, err)
	}
	if c.HasDefaultAccount() || c.AccountsDir == "" {
		required := func(variable string, value tokensource.Secret, file string) tokensource.Secret {
			value, source, err := secretFromValueOrFile(variable, value, file)
			if source == "" {
				source, err = variable, fmt.Errorf("is not set: set it, or %s, or ETRUSTED_ACCOUNTS_DIR (the command demo needs none of them)", variable+"_FILE")
			}
			checkCredential(source, err)
			return value
		}
		c.ClientID = required("ETRUSTED_CLIENT_ID", c.ClientID, c.ClientIDFile)
		c.ClientSecret = required("ETRUSTED_CLIENT_SECRET", c.ClientSecret, c.ClientSecretFile)
	}
	check("ETRUSTED_ACCOUNTS_DIR", checkOptionalDir(c.AccountsDir))
	var err error
	c.API, err = hostport.ParseSecureOrigin(c.APIURL)
	check("ETRUSTED_API_URL", err)
	c.Login, err = hostport.ParseSecureURL(c.TokenURL)
	check("ETRUSTED_TOKEN_URL", err)
	var source string
	c.AccessKeys, source, err = c.accessKeys()
	check(source, err)
	if err == nil && len(c.AccessKeys) > 0 {
		c.AccessKey = c.AccessKeys[0]
	}
	check("BROKER_CALLERS_DIR", c.checkCallersDir())
	check("BROKER_LISTEN", c.checkListen())
	if c.AdminListen != "" {
		_, _, err = SplitHostAndPortNumber(c.AdminListen)
		check("BROKER_ADMIN_LISTEN", err)
	}
	check("BROKER_INTERCEPT_LISTEN", c.checkInterceptListen())
	c.Resolver, err = parseResolver(c.UpstreamResolver)
	check("BROKER_UPSTREAM_RESOLVER", err)
	check("BROKER_ALLOWED_HOSTS", checkAllowedHosts(c.AllowedHosts))
	_, err = access.ParsePassHosts(c.PassHosts)
	check("BROKER_PASS_HOSTS", err)
	if len(c.Allow) > 0 {
		_, err = access.ParseAllowList(c.Allow)
		check("BROKER_ALLOW", err)
	}
	require("BROKER_ALLOW_MODE", c.AllowMode == "enforce" || c.AllowMode == AllowModeWarn, "must be enforce or warn")
	_, err = c.LoadTLS()
	if invalid, ok := errors.AsType[Error](err); ok {
		problems = append(problems, invalid)
	}
	store, source, err := secretFromValueOrFile("BROKER_TOKEN_STORE", c.TokenStore, c.TokenStoreFile)
	check(source, err)
	if isSet(store) {
		options, err := redisstore.ParseURL(store.Reveal())
		c.Store = &options
		check(source, err)
	}
	check("HTTPS_PROXY", c.checkProxy(variables))
	check("BROKER_INTERCEPT_CA_DIR", checkOptionalDir(c.InterceptCADir))
	require("BROKER_TOKEN_WAIT", c.TokenWait >= 0, "must not be negative")
	require("BROKER_SHUTDOWN_GRACE", c.ShutdownGrace >= 0, "must not be negative")
	require("BROKER_UPSTREAM_TIMEOUT", c.UpstreamTimeout > 0, "must be greater than zero, such as 60s")
	const maxReplayBuffer = 64 << 20 // keeps a typing error from letting a few uploads use all memory
	require("BROKER_REPLAY_BUFFER", c.ReplayBuffer >= 0 && c.ReplayBuffer <= maxReplayBuffer,
		fmt.Sprintf("must be from 0 to %d bytes: each request in flight may use that much memory", maxReplayBuffer))
	// Above the level error, errors would go unseen.
	require("BROKER_LOG_LEVEL", c.LogLevel >= zapcore.DebugLevel && c.LogLevel <= zapcore.ErrorLevel, typeRequirements[reflect.TypeOf(c.LogLevel)])
	require("BROKER_LOG_FORMAT", slices.Contains([]string{"", "json", "console"}, c.LogFormat), "must be json or console")
	c.Settings = c.settings(variables, problems)
	return c, problems
}

// HasDefaultAccount reports whether credentials for the unnamed account are configured.
func (c Config) HasDefaultAccount() bool {
	return c.ClientIDFile != "" || c.ClientSecretFile != "" || isSet(c.ClientID) || isSet(c.ClientSecret)
}

// DefaultCredentials returns the source of the default account's credentials, or nil without a default account.
func (c Config) DefaultCredentials() *tokensource.CredentialSource {
	if !c.HasDefaultAccount() {
		return nil
	}
	part := func(name, file string, value tokensource.Secret) tokensource.CredentialFieldSource {
		if file != "" {
			return tokensource.CredentialFieldSource{Name: name + "_FILE", File: file}
		}
		return tokensource.CredentialFieldSource{Name: name, Value: value}
	}
	restart := ""
	if dir := c.systemdCredentials; dir != "" && (filepath.Dir(c.ClientIDFile) == dir || filepath.Dir(c.ClientSecretFile) == dir) {
		restart = "Correct /etc/etrusted-broker/client_id or client_secret, or what LoadCredential= names in their place, and then: systemctl restart etrusted-broker."
	}
	return &tokensource.CredentialSource{
		Restart: restart,

		ID:     part("ETRUSTED_CLIENT_ID", c.ClientIDFile, c.ClientID),
		Secret: part("ETRUSTED_CLIENT_SECRET", c.ClientSecretFile, c.ClientSecret),
	}
}

// checkOptionalDir returns an error that says what to do if path is not an accessible directory. An empty path is no error.
func checkOptionalDir(path string) error {
	info, err := os.Stat(path)
	switch {
	case path == "":
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("directory not found")
	case err != nil:
		return errors.New("cannot read the directory: check its permissions")
	case !info.IsDir():
		return errors.New("must be a directory")
	}
	return nil
}

// DecodeVariables sets the fields from the variables. It reads no files, and checks only that each value has the type of its field.
func DecodeVariables(variables map[string]string) (unvalidated Config, typeErrors []Error) {
	var c Config
	err := env.ParseWithOptions(&c, env.Options{
		Environment: variables,
		FuncMap: map[reflect.Type]env.ParserFunc{
			// A final line end is removed, as from files: a Kubernetes Secret that was created with echo has one.
			reflect.TypeFor[tokensource.Secret](): func(value string) (any, error) {
				return tokensource.NewSecret(strings.TrimRight(value, "\r\n")), nil
			},
		},
	})
	if value, set := variables["BROKER_ADMIN_LISTEN"]; set && value == "" {
		c.AdminListen = "" // for the parser, empty is unset; here it means off
	}
	all, _ := errors.AsType[env.AggregateError](err)
	var problems []Error
	for _, err := range all.Errors {
		parse, ok := errors.AsType[env.ParseError](err)
		if !ok {
			panic("config is declared wrongly: " + err.Error()) // an invalid tag, which every test would reveal
		}
		field, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
		problems = append(problems, Error{field.Tag.Get("env"), typeRequirements[field.Type]})
	}
	return c, problems
}

// typeRequirements say what a value of a type must be, in place of the parser's errors, which quote it.
var typeRequirements = map[reflect.Type]string{
	reflect.TypeFor[bool]():          "must be true or false",
	reflect.TypeFor[int64]():         "must be a whole number",
	reflect.TypeFor[time.Duration](): "must be a duration such as 10s or 1m30s",
	reflect.TypeFor[zapcore.Level](): "must be debug, info, warn or error",
}

// secretFromValueOrFile returns the secret in the variable or in the file that NAME_FILE names, and which of them is set; ""
// if neither is.
func secretFromValueOrFile(variable string, value tokensource.Secret, file string) (secret tokensource.Secret, sourceVariable string, err error) {
	switch {
	case isSet(value) && file != "":
		return secret, variable, fmt.Errorf("both %s and %s are set: unset one of them", variable, variable+"_FILE")
	case file != "":
		secret, err = readFileHidingPath(file, tokensource.ReadSecretFile)
		return secret, variable + "_FILE", err
	case isSet(value):
		return value, variable, nil
	default:
		return secret, "", nil
	}
}

func isSet(secret tokensource.Secret) bool { return !secret.Equal(tokensource.Secret{}) }

// readFileHidingPath reads the file that a variable names. Its errors contain no path that does not exist: it could be the secret,
// even if it begins with a slash.
func readFileHidingPath[T any](file string, read func(path string) (T, error)) (content T, err error) {
	if !looksLikePath(file) {
		if runtime.GOOS == "windows" {
			return content, errors.New(`must be a path starting with a drive or .\, such as C:\ProgramData\etrusted-broker\client_id (the value is hidden, it may be the secret)`)
		}
		return content, errors.New("must be a path starting with / or ./ (the value is hidden, it may be the secret)")
	}
	content, err = read(file)
	if err = tokensource.HidePathUnlessExists(file, err); errors.Is(err, tokensource.ErrHiddenPathInaccessible) {
		err = fmt.Errorf("%w (the value is hidden, it may be the secret)", err)
	}
	return content, err
}

// looksLikePath reports whether text is meant to be a path, rather than a secret that happens to contain a slash.
func looksLikePath(text string) bool {
	path := filepath.ToSlash(text)
	return filepath.IsAbs(text) || strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../")
}

// EnvironToMap returns the variables in environ by name. It strips a trailing carriage return from each value, which comes from
// Windows line ends.
func EnvironToMap(environ []string) (withoutFinalCR map[string]string) {
	variables := env.ToMap(environ)
	for name, value := range variables {
		variables[name] = strings.TrimSuffix(value, "\r")
	}
	return variables
}
