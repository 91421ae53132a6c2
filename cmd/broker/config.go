package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/admin"
	"etrusted-broker/proxy/door"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// config is the one place where the variables are declared: with name, default and meaning, from which parsing, help
// and 'broker config' are made. The names are a contract with users.
type config struct {
	ClientID         tokensource.Secret `env:"ETRUSTED_CLIENT_ID" help:"the Client ID: prefix and identifier together"`
	ClientIDFile     string             `env:"ETRUSTED_CLIENT_ID_FILE" shape:"path" help:"a file that holds the Client ID, instead"`
	ClientSecret     tokensource.Secret `env:"ETRUSTED_CLIENT_SECRET" help:"the Client Secret"`
	ClientSecretFile string             `env:"ETRUSTED_CLIENT_SECRET_FILE" shape:"path" help:"a file that holds the Client Secret, instead"`

	AccountsDir string `env:"ETRUSTED_ACCOUNTS_DIR" shape:"path" help:"a folder with one folder for each further account: NAME/client_id and NAME/client_secret"`

	APIURL   string   `env:"ETRUSTED_API_URL" shape:"url" envDefault:"https://api.etrusted.com" help:"the API: scheme and host"`
	TokenURL string   `env:"ETRUSTED_TOKEN_URL" shape:"url" envDefault:"https://login.etrusted.com/oauth/token" help:"the token endpoint"`
	Audience string   `env:"ETRUSTED_AUDIENCE" shape:"url" envDefault:"https://api.etrusted.com" help:"the audience parameter of the token request"`
	Scopes   []string `env:"ETRUSTED_SCOPES" shape:"scopes" envSeparator:" " help:"scopes, separated by blanks; sent only if set"`

	Listen       string   `env:"BROKER_LISTEN" shape:"address" envDefault:"127.0.0.1:8080" help:"where the app connects: HOST:PORT or unix:///path"`
	AdminListen  string   `env:"BROKER_ADMIN_LISTEN" shape:"address" envDefault:"127.0.0.1:9464" help:"metrics, health and status: HOST:PORT; set but empty turns it off"`
	UnsafeListen bool     `env:"BROKER_UNSAFE_LISTEN" envDefault:"false" help:"allow BROKER_LISTEN to be reached from beyond this machine without access key or client certificates: whoever reaches it can use the credentials"`
	AllowedHosts []string `env:"BROKER_ALLOWED_HOSTS" shape:"hosts" envSeparator:"," help:"further host names that a request's Host may bear, separated by commas"`
	Allow        []string `env:"BROKER_ALLOW" shape:"patterns" envSeparator:"," help:"the methods and paths that may be used, separated by commas: READ-ONLY, or patterns of Go's http.ServeMux such as GET /reviews/; unset: everything"`

	AccessKey     tokensource.Secret `env:"BROKER_ACCESS_KEY" help:"if set, a request must carry it: Authorization: Bearer KEY, or Basic with it as the password"`
	AccessKeyFile string             `env:"BROKER_ACCESS_KEY_FILE" shape:"path" help:"a file that holds the access key, instead; after a change the old one is taken for a minute more"`

	TLSCertFile     string `env:"BROKER_TLS_CERT_FILE" shape:"path" help:"TLS on the app's listener: the certificate with its chain, PEM"`
	TLSKeyFile      string `env:"BROKER_TLS_KEY_FILE" shape:"path" help:"and its private key"`
	TLSClientCAFile string `env:"BROKER_TLS_CLIENT_CA_FILE" shape:"path" help:"if set, an app must show a certificate that one of these authorities has signed"`

	TokenStore     tokensource.Secret `env:"BROKER_TOKEN_STORE" help:"a Redis or Valkey server in which many brokers share one token: redis://USER:PASSWORD@HOST:PORT/DB, rediss:// for TLS; ?addr=HOST:PORT names a further node, of a Cluster or, with &master_name=NAME, of Sentinels"`
	TokenStoreFile string             `env:"BROKER_TOKEN_STORE_FILE" shape:"path" help:"a file that holds that URL, instead; read at the start"`

	TokenWait       time.Duration `env:"BROKER_TOKEN_WAIT" envDefault:"10s" help:"how long a request may wait while there is no token at all"`
	UpstreamTimeout time.Duration `env:"BROKER_UPSTREAM_TIMEOUT" envDefault:"60s" help:"from the request sent to the response's header"`
	ShutdownGrace   time.Duration `env:"BROKER_SHUTDOWN_GRACE" envDefault:"25s" help:"how long a SIGTERM waits for requests in flight"`

	Replay401    bool  `env:"BROKER_REPLAY_401" envDefault:"true" help:"after a 401 to a token that was since replaced, send the request again once"`
	ReplayBuffer int64 `env:"BROKER_REPLAY_BUFFER" envDefault:"65536" help:"bytes of a request body kept for that"`

	RewriteLinks   bool   `env:"BROKER_REWRITE_LINKS" envDefault:"true" help:"rewrite the API's own address in responses to the one that the app used"`
	StandInToken   bool   `env:"BROKER_STAND_IN_TOKEN" envDefault:"true" help:"answer the app's own token requests with a stand-in"`
	InterceptCADir string `env:"BROKER_INTERCEPT_CA_DIR" shape:"path" help:"a folder with a certificate authority of the broker's own: CONNECT to the API and the login server is then answered; see 'broker ca'"`

	AccessLog bool          `env:"BROKER_ACCESS_LOG" envDefault:"false" help:"one log line a request, with a request id that the API is sent too; never a query or a header else"`
	LogLevel  zapcore.Level `env:"BROKER_LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	LogFormat string        `env:"BROKER_LOG_FORMAT" shape:"word" help:"json or console; unset: console on a terminal, else json"`

	PProf bool `env:"BROKER_PPROF" envDefault:"false" help:"serve Go's profiles at /debug/pprof/ of the admin listener"`

	// What follows is made of the above.
	upstream     *url.URL
	rules        *door.Rules   // nil if everything is allowed
	certificates *certificates // nil without TLS
	store        *redisstore.Options
	settings     []admin.Setting // all variables, as they may be shown
}

// configError is a problem with one variable. Its text never holds the variable's value: a secret may have been put
// into the wrong variable.
type configError struct {
	variable, problem string
}

// Error returns the variable and what to do about it.
func (e configError) Error() string { return e.variable + ": " + e.problem }

// loadConfig reads the configuration and checks it as a whole: it returns every problem at once. ClientID and
// ClientSecret are then what is in effect, wherever it comes from.
func loadConfig(environ []string) (config, []configError) {
	variables := environment(environ)
	c, problems := parseConfig(variables)
	c.Scopes = strings.Fields(strings.Join(c.Scopes, " "))
	check := func(variable string, err error) {
		if err != nil {
			problems = append(problems, configError{variable, err.Error()})
		}
	}
	var err error
	if c.hasDefaultAccount() || c.AccountsDir == "" {
		var blame string
		c.ClientID, blame, err = oneOf(c.ClientID, "ETRUSTED_CLIENT_ID", c.ClientIDFile)
		check(blame, err)
		c.ClientSecret, blame, err = oneOf(c.ClientSecret, "ETRUSTED_CLIENT_SECRET", c.ClientSecretFile)
		check(blame, err)
	}
	if c.AccountsDir != "" {
		check("ETRUSTED_ACCOUNTS_DIR", checkDir(c.AccountsDir))
	}
	c.upstream, err = parseAPIURL(c.APIURL)
	check("ETRUSTED_API_URL", err)
	_, err = parseServerURL(c.TokenURL)
	check("ETRUSTED_TOKEN_URL", err)
	c.AccessKey, err = c.accessKey()
	check(c.accessKeyVariable(), err)
	check("BROKER_LISTEN", c.checkListen())
	if c.AdminListen != "" {
		_, err = splitListen(c.AdminListen)
		check("BROKER_ADMIN_LISTEN", err)
	}
	check("BROKER_ALLOWED_HOSTS", checkHosts(c.AllowedHosts))
	if len(c.Allow) > 0 {
		c.rules, err = door.ParseRules(c.Allow)
		check("BROKER_ALLOW", err)
	}
	var blame string
	c.certificates, blame, err = c.loadCertificates()
	check(blame, err)
	c.store, blame, err = c.tokenStore()
	check(blame, err)
	check("HTTPS_PROXY", c.checkProxy(variables))
	if c.InterceptCADir != "" {
		check("BROKER_INTERCEPT_CA_DIR", checkDir(c.InterceptCADir))
	}
	check("BROKER_TOKEN_WAIT", notNegative(c.TokenWait))
	check("BROKER_UPSTREAM_TIMEOUT", positive(c.UpstreamTimeout))
	check("BROKER_SHUTDOWN_GRACE", notNegative(c.ShutdownGrace))
	if c.ReplayBuffer < 0 || c.ReplayBuffer > maxReplayBuffer {
		check("BROKER_REPLAY_BUFFER", fmt.Errorf("must be from 0 to %d bytes: each request that is being sent may take that much memory", maxReplayBuffer))
	}
	if c.LogLevel < zapcore.DebugLevel || c.LogLevel > zapcore.ErrorLevel { // above, errors would go unseen
		check("BROKER_LOG_LEVEL", errors.New(mustBe(reflect.TypeFor[zapcore.Level]())))
	}
	if c.LogFormat != "" && c.LogFormat != "json" && c.LogFormat != "console" {
		check("BROKER_LOG_FORMAT", errors.New("must be json or console"))
	}
	c.settings = c.effective(variables, problems)
	return c, problems
}

// maxReplayBuffer keeps a typing error from letting a few uploads take all memory.
const maxReplayBuffer = 64 << 20

// hasDefaultAccount reports whether there are credentials without a name.
func (c config) hasDefaultAccount() bool {
	return c.ClientIDFile != "" || c.ClientSecretFile != "" || !c.ClientID.Equal(tokensource.Secret{}) || !c.ClientSecret.Equal(tokensource.Secret{})
}

// defaultOrigin is where the default account's credentials come from; nil if there is none.
func (c config) defaultOrigin() *tokensource.CredentialSource {
	if !c.hasDefaultAccount() {
		return nil
	}
	part := func(name, file string, value tokensource.Secret) tokensource.CredentialField {
		if file != "" {
			return tokensource.CredentialField{Name: file, File: file}
		}
		return tokensource.CredentialField{Name: name, Value: value}
	}
	return &tokensource.CredentialSource{
		ID:     part("ETRUSTED_CLIENT_ID", c.ClientIDFile, c.ClientID),
		Secret: part("ETRUSTED_CLIENT_SECRET", c.ClientSecretFile, c.ClientSecret),
	}
}

func checkDir(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such folder")
	case err != nil:
		return errors.New("the folder cannot be looked at: check its permissions")
	case !info.IsDir():
		return errors.New("must be a folder")
	}
	return nil
}

// parseConfig fills the fields from the variables, and replaces the parser's errors, which quote values.
func parseConfig(variables map[string]string) (config, []configError) {
	var c config
	err := env.ParseWithOptions(&c, env.Options{
		Environment: variables,
		FuncMap: map[reflect.Type]env.ParserFunc{
			// As of files, a final line end is cut: a Kubernetes Secret that was made with echo has one.
			reflect.TypeFor[tokensource.Secret](): func(value string) (any, error) {
				return tokensource.NewSecret(strings.TrimRight(value, "\r\n")), nil
			},
		},
	})
	if value, set := variables["BROKER_ADMIN_LISTEN"]; set && value == "" {
		c.AdminListen = "" // for env, empty is unset; here it means off
	}
	var all env.AggregateError
	if err == nil || !errors.As(err, &all) {
		return c, nil
	}
	var problems []configError
	for _, err := range all.Errors {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			panic("config is declared wrongly: " + err.Error()) // a tag's fault, and any test would see it
		}
		field, _ := reflect.TypeFor[config]().FieldByName(parse.Name)
		problems = append(problems, configError{field.Tag.Get("env"), mustBe(field.Type)})
	}
	return c, problems
}

func mustBe(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[bool]():
		return "must be true or false"
	case reflect.TypeFor[int64]():
		return "must be a whole number"
	case reflect.TypeFor[time.Duration]():
		return "must be a duration such as 10s or 1m30s"
	default:
		return "must be debug, info, warn or error"
	}
}

// oneOf returns a secret from its variable or its file, whichever is set. An error comes with the variable to blame.
func oneOf(plain tokensource.Secret, variable, file string) (secret tokensource.Secret, blame string, err error) {
	inFile := variable + "_FILE"
	switch isSet := !plain.Equal(tokensource.Secret{}); {
	case isSet && file != "":
		return secret, variable, fmt.Errorf("both %s and %s are set: unset one of them", variable, inFile)
	case isSet:
		return plain, variable, nil
	case file == "":
		return secret, variable, fmt.Errorf("is not set: set it, or %s, or ETRUSTED_ACCOUNTS_DIR ('broker demo' needs none of them)", inFile)
	}
	secret, err = readSecretFile(file)
	return secret, inFile, err
}

// readSecretFile reads the file that a variable names. Where there is none, it is not said which was looked for: it could
// be the secret itself, even if it begins with a slash.
func readSecretFile(file string) (tokensource.Secret, error) {
	if !isPath(file) {
		return tokensource.Secret{}, errNoPath
	}
	secret, err := tokensource.ReadSecretFile(file)
	if err != nil && !exists(file) { // its text has the path
		err = errNoFile
	}
	return secret, err
}

var (
	errNoPath = errors.New("must be the path of a file that begins with / or ./ (what it is now is not repeated here: it could be the secret itself)")
	errNoFile = errors.New("there is no such file")
)

// isPath reports whether a text is meant as a path, and not as a secret that happens to have a slash in it.
func isPath(text string) bool {
	return filepath.IsAbs(text) || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../")
}

// parseServerURL parses the address of a server that is sent a secret or a token: only over TLS, unless it never
// leaves this machine.
func parseServerURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must be a URL that begins with https://")
	case u.User != nil, strings.Contains(text, "@"): // of a password with a slash in it, the host ends there
		return nil, errors.New("must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not have a query or a fragment")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, errors.New("must begin with https://: over http:// the credential would cross the network in clear (only loopback addresses may be http://)")
	}
	return u, nil
}

// parseAPIURL parses the API's base URL.
func parseAPIURL(text string) (*url.URL, error) {
	u, err := parseServerURL(text)
	if err != nil {
		return nil, err
	}
	if u.Path != "" && u.Path != "/" {
		return nil, errors.New("must be scheme and host alone, without a path: the app's path is sent on as it is")
	}
	return u, nil
}

func notNegative(d time.Duration) error {
	if d < 0 {
		return errors.New("must not be negative")
	}
	return nil
}

func positive(d time.Duration) error {
	if d <= 0 {
		return errors.New("must be more than nothing, such as 60s")
	}
	return nil
}

// environment makes a map of what os.Environ returns.
func environment(environ []string) map[string]string {
	variables := make(map[string]string, len(environ))
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			variables[name] = value
		}
	}
	return variables
}

// configured loads the configuration for a command that runs the broker, and prints its problems.
func (i invocation) configured() (config, bool) {
	c, problems := loadConfig(i.environ)
	if len(problems) > 0 {
		for _, warning := range unknownVariables(i.environ) { // perhaps what is missing has been set by another name
			say(i.stderr, "broker: warning: %s", warning)
		}
	}
	i.complain(problems)
	return c, len(problems) == 0
}

func (i invocation) complain(problems []configError) {
	if len(problems) == 0 {
		return
	}
	say(i.stderr, "broker: the configuration is not right:")
	for _, problem := range problems {
		say(i.stderr, "  %v", problem)
	}
	say(i.stderr, "'broker -h' explains each variable, 'broker config' shows what they are now.")
}
