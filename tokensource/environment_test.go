package tokensource_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

const (
	qaAPI   = "https://api.qa.example"
	qaToken = "https://login.qa.example/oauth/token"
)

// setFiles is the content of the files of a set, by name.
type setFiles map[string]string

// with returns a copy with other files; an empty name removes nothing, and the content "-" a file.
func (f setFiles) with(changed setFiles) setFiles {
	all := maps.Clone(f)
	for name, text := range changed {
		if all[name] = text; text == "-" {
			delete(all, name)
		}
	}
	return all
}

var (
	production = setFiles{"client_id": "prod__id", "client_secret": "canary-of-production"}
	qa         = setFiles{"client_id": "qa__id", "client_secret": "canary-of-qa", "api_url": qaAPI, "token_url": qaToken, "audience": "qa", "scopes": "a b\n"}
)

// environments is a rig with an account whose files may name another environment. The rig's server is production's login server.
type environments struct {
	*rig
	credentialFiles
	qa *fakeetrusted.Server
}

func newEnvironments(t *testing.T, files setFiles) *environments {
	t.Helper()
	e := &environments{
		credentialFiles: credentialFiles(t.TempDir()),
		qa:              fakeetrusted.New(fakeetrusted.Options{ClientID: "qa__id", ClientSecret: "canary-of-qa", Audience: "qa"}),
	}
	e.write(t, files)
	e.rig = newRig(t, fakeetrusted.Options{ClientID: "prod__id", ClientSecret: "canary-of-production"}, func(config *tokensource.Config) {
		config.Credentials = e.source()
		production, qa := config.Endpoint.Transport, network(t, e.qa)
		config.Endpoint.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			switch r.URL.Host {
			case "login.example":
				return production.RoundTrip(r)
			case "login.qa.example":
				r = r.Clone(r.Context())
				r.URL.Scheme = "http" // the network in memory has no TLS
				return qa.RoundTrip(r)
			default:
				t.Errorf("got a token request to %s", r.URL)
				return nil, errors.New("unknown host")
			}
		})
	})
	return e
}

func (e *environments) source() tokensource.CredentialSource {
	source := e.credentialFiles.source()
	source.EnvironmentDir = string(e.credentialFiles)
	return source
}

// write replaces all files.
func (e *environments) write(t *testing.T, files setFiles) {
	t.Helper()
	for _, name := range []string{"client_id", "client_secret", "api_url", "token_url", "audience", "scopes"} {
		if text, exists := files[name]; exists {
			writeFile(t, e.path(name), text)
		} else if err := os.Remove(e.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func (e *environments) change(t *testing.T, files setFiles) {
	t.Helper()
	e.write(t, files)
	e.ReloadCredentials()
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

// checkSeparate fails the test if a login server has got anything of the other environment.
func (e *environments) checkSeparate(t *testing.T) {
	t.Helper()
	for _, server := range []struct {
		*fakeetrusted.Server
		name, id, secret, audience string
	}{
		{e.server, "production", "prod__id", "canary-of-production", "https://api.etrusted.com"},
		{e.qa, "QA", "qa__id", "canary-of-qa", "qa"},
	} {
		for _, request := range server.TokenRequests() {
			if form := request.Form; form.Get("client_id") != server.id || form.Get("client_secret") != server.secret || form.Get("audience") != server.audience {
				t.Errorf("%s: got a token request with %v, want only its own credentials and audience", server.name, form)
			}
		}
	}
}

// current returns the API of the current token, and its environment: that of the login server that has issued it.
func (e *environments) current(t *testing.T) (api, issuer string) {
	t.Helper()
	value, at, ok := e.Current()
	if !ok {
		t.Fatal("there is no token")
	}
	if at != nil {
		api = at.String()
	}
	for name, server := range map[string]*fakeetrusted.Server{"production": e.server, "QA": e.qa} {
		if slices.Contains(server.Tokens(), strings.TrimPrefix(value, "Bearer ")) {
			issuer = name
		}
	}
	return api, issuer
}

func TestReadsEnvironment(t *testing.T) {
	t.Parallel()
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for name, test := range map[string]struct {
		files setFiles
		want  tokensource.APIEnvironment
		err   string // after the path
	}{
		"none":                 {setFiles{}, tokensource.APIEnvironment{}, ""},
		"all":                  {qa, tokensource.APIEnvironment{API: parse(qaAPI), TokenURL: qaToken, Audience: "qa", Scopes: []string{"a", "b"}}, ""},
		"with line ends":       {setFiles{"api_url": "\ufeff" + qaAPI + " \r\n", "audience": "x y\n"}, tokensource.APIEnvironment{API: parse(qaAPI), Audience: "x y"}, ""},
		"loopback":             {setFiles{"api_url": "http://127.0.0.1:8081"}, tokensource.APIEnvironment{API: parse("http://127.0.0.1:8081")}, ""},
		"an empty file":        {setFiles{"api_url": ""}, tokensource.APIEnvironment{}, "api_url is empty: write the value into it, or remove the file"},
		"only a line end":      {setFiles{"scopes": "\n"}, tokensource.APIEnvironment{}, "scopes is empty: write the value into it, or remove the file"},
		"only spaces":          {setFiles{"audience": "  "}, tokensource.APIEnvironment{}, "audience is empty: write the value into it, or remove the file"},
		"no TLS":               {setFiles{"token_url": "http://canary.example/oauth/token"}, tokensource.APIEnvironment{}, "token_url must start with https://: http:// would send the credential unencrypted (allowed only for loopback addresses)"},
		"no URL":               {setFiles{"token_url": "canary.example"}, tokensource.APIEnvironment{}, "token_url must be a URL that starts with https://"},
		"a path of the API":    {setFiles{"api_url": "https://canary.example/channels"}, tokensource.APIEnvironment{}, "api_url must consist of scheme and host only: the app's path is forwarded unchanged"},
		"a password":           {setFiles{"api_url": "https://x:canary@api.example"}, tokensource.APIEnvironment{}, "api_url must not contain a user name or password"},
		"a query":              {setFiles{"token_url": "https://login.example/oauth/token?canary"}, tokensource.APIEnvironment{}, "token_url must not have a query or a fragment"},
		"two lines":            {setFiles{"api_url": "https://canary.example\nx"}, tokensource.APIEnvironment{}, "api_url has more than one line: write only the value into it"},
		"one right, one wrong": {setFiles{"api_url": qaAPI, "token_url": "canary"}, tokensource.APIEnvironment{}, "token_url must be a URL that starts with https://"},
	} {
		e := &environments{credentialFiles: credentialFiles(t.TempDir())}
		e.write(t, test.files)
		got, err := e.source().ReadEnvironment()
		if !got.Equal(test.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
		switch {
		case test.err == "" && err != nil, test.err != "" && (err == nil || err.Error() != e.path("")+"/"+test.err):
			t.Errorf("%s: got %v, want %q", name, err, test.err)
		case err != nil && strings.Contains(err.Error(), "canary"):
			t.Errorf("%s: the error %q contains the file's content", name, err)
		}
	}
	// A link that leads nowhere, or a directory, does not mean the broker's settings.
	for name, create := range map[string]func(path string) error{
		"a dangling link": func(path string) error { return os.Symlink("nowhere", path) },
		"a directory":     func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		e := &environments{credentialFiles: credentialFiles(t.TempDir())}
		if err := create(e.path("api_url")); err != nil {
			t.Fatal(err)
		}
		if got, err := e.source().ReadEnvironment(); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

// An account is moved from QA to production and back, with mistakes in between. Each login server sees only its own pair, and each
// token has its own API.
func TestMovesAccountToOtherEnvironment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, qa)
		e.at(time.Second)
		for _, step := range []struct {
			name   string
			files  setFiles
			api    string
			issuer string
			reason string // why the files are not in use
		}{
			{"at first", qa, qaAPI, "QA", ""},
			{"a malformed URL", qa.with(setFiles{"api_url": "api.qa.example"}), qaAPI, "QA", "api_url must be a URL"},
			{"an emptied file", qa.with(setFiles{"token_url": ""}), qaAPI, "QA", "token_url is empty"},
			{"a new pair, and a malformed URL", production.with(setFiles{"token_url": "x"}), qaAPI, "QA", "token_url must be a URL"},
			{"production", production, "", "production", ""},
			{"a malformed URL there", production.with(setFiles{"api_url": "http://api.example"}), "", "production", "api_url must start with https://"},
			{"QA", qa, qaAPI, "QA", ""},
			{"production again", production, "", "production", ""},
		} {
			e.change(t, step.files)
			if api, issuer := e.current(t); api != step.api || issuer != step.issuer {
				t.Errorf("%s: got a token of %s for the API %q, want %s and %q", step.name, issuer, api, step.issuer, step.api)
			}
			snapshot := e.Snapshot()
			if pending := snapshot.PendingReload; (pending != nil) != (step.reason != "") || pending != nil && !strings.Contains(pending.Reason, e.path(step.reason)) {
				t.Errorf("%s: got the pending reload %+v, want %q", step.name, pending, step.reason)
			}
			if snapshot.API != step.api {
				t.Errorf("%s: the snapshot has the API %q, want %q", step.name, snapshot.API, step.api)
			}
			e.at(time.Since(e.began) + time.Hour) // refreshes come from the same login server
			if api, issuer := e.current(t); api != step.api || issuer != step.issuer {
				t.Errorf("%s, an hour later: got a token of %s for the API %q, want %s and %q", step.name, issuer, api, step.issuer, step.api)
			}
		}
		e.checkSeparate(t)
	})
}

// A changed API is a changed set, even with the same login server.
func TestChangedAPINeedsNewToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, production)
		e.at(time.Second)
		before, _, _ := e.Current()
		e.change(t, production.with(setFiles{"api_url": "https://gateway.example"}))
		value, api, _ := e.Current()
		if value == before || api == nil || api.Host != "gateway.example" {
			t.Errorf("got the API %v and the same token: %t, want a new token for gateway.example", api, value == before)
		}
	})
}

// An account with a malformed file has no token, and says why. The pair is sent nowhere.
func TestMalformedOverrideAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, qa.with(setFiles{"token_url": "login.qa.example"}))
		_, err := e.wait(10 * time.Second)
		want := "cannot read the credentials: " + e.path("token_url") + " must be a URL that starts with https://"
		if p := noToken(t, err); p.Detail != want || p.Code != "credentials-unreadable" || p.Title != "The credentials cannot be read" {
			t.Errorf("got %q: %q (%s), want %q", p.Title, p.Detail, p.Code, want)
		}
		if n := e.server.TokenRequestCount() + e.qa.TokenRequestCount(); n != 0 {
			t.Errorf("got %d token requests, want none", n)
		}
		e.change(t, qa)
		if api, issuer := e.current(t); api != qaAPI || issuer != "QA" {
			t.Errorf("got a token of %s for %q, want one of QA", issuer, api)
		}
		e.checkSeparate(t)
	})
}

// The files of a new account are written one after the other, the token URL last: some before the broker finds the account.
func TestNewAccountWaitsForItsEnvironment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, setFiles{})
		write := func(name string, at time.Time) {
			path := e.path(name)
			writeFile(t, path, qa[name])
			if err := os.Chtimes(path, at, at); err != nil { // the bubble's time
				t.Fatal(err)
			}
		}
		write("client_id", e.began.Add(-200*time.Millisecond))
		write("client_secret", e.began.Add(-100*time.Millisecond))
		e.at(0)
		for _, name := range []string{"api_url", "audience", "token_url"} {
			e.at(time.Since(e.began) + 700*time.Millisecond)
			write(name, time.Now())
			e.ReloadCredentials()
		}
		e.at(time.Since(e.began) + 2*time.Second)
		if api, issuer := e.current(t); api != qaAPI || issuer != "QA" {
			t.Errorf("got a token of %s for %q, want one of QA", issuer, api)
		}
		e.checkSeparate(t)
	})
}

// The files may be old, if they are moved into the directory one after the other.
func TestNewAccountWaitsForFilesThatAreMovedIntoIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, setFiles{})
		move := func(name string) {
			old, now := e.began.Add(-time.Hour), time.Now() // the bubble's time
			path := e.path(name)
			writeFile(t, path, qa[name])
			if err := errors.Join(os.Chtimes(path, old, old), os.Chtimes(e.path(""), now, now)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"client_id", "client_secret", "api_url", "audience", "token_url"} {
			e.at(time.Since(e.began) + 700*time.Millisecond)
			move(name)
			e.ReloadCredentials()
		}
		e.at(time.Since(e.began) + 2*time.Second)
		if api, issuer := e.current(t); api != qaAPI || issuer != "QA" {
			t.Errorf("got a token of %s for %q, want one of QA", issuer, api)
		}
		e.checkSeparate(t)
	})
}

// A login server with a cache sends the token of before the move once more. It displaces that of the environment that was left.
func TestReturnsToCachedToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, production)
		e.server.SetTokenFault(respond("of-production", 100))
		e.qa.SetTokenFault(respond("of-qa", 1000))
		e.at(time.Second)
		e.change(t, qa)
		if value, _, _ := e.Current(); value != "Bearer of-qa" {
			t.Fatalf("got %q after the move, want the token of QA", value)
		}
		e.change(t, production)
		if value, api, _ := e.Current(); value != "Bearer of-production" || api != nil {
			t.Errorf("got %q for %v after the return, want the token of production", value, api)
		}
	})
}

// After a move, a request that the old API has refused learns that the newer token is for another API.
func TestNewerTokenSaysItsAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, qa)
		e.at(time.Second)
		sent, _, _ := e.Current()
		e.change(t, production)
		if !e.Invalidate(sent) {
			t.Fatal("Invalidate of the replaced token: got false, want true")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if next, api, err := e.WaitNewer(ctx, sent); err != nil || next == sent || api != nil {
			t.Errorf("got the API %v and %v, want a token for the broker's API", api, err)
		}
	})
}

// A message names the file that an account has in place of a variable.
func TestAdviceNamesFilesOfEnvironment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironments(t, qa.with(setFiles{"scopes": "-"}))
		e.qa.SetTokenFault(fakeetrusted.OAuthError(400, "invalid_scope"))
		e.at(time.Second)
		if advice := e.last().Err.Advice; !strings.HasPrefix(advice, "Check ETRUSTED_SCOPES:") {
			t.Errorf("got %q, want the variable, because there is no file", advice)
		}
		e.qa.SetTokenFault(fakeetrusted.Status(http.StatusNotFound, nil))
		e.at(time.Minute)
		if advice := e.last().Err.Advice; !strings.Contains(advice, "Check that "+e.path("token_url")+" is the token endpoint") {
			t.Errorf("got %q, want the name of the file", advice)
		}
	})
}

// The environments are reported before a login server of one is asked.
func TestReportsEnvironments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		files := &environments{credentialFiles: credentialFiles(t.TempDir())}
		var reported []string
		source := newRunner(t, tokensource.Config{
			Credentials: files.source(),
			Endpoint: tokensource.TokenEndpoint{URL: "http://login.example/", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if reported = append(reported, r.URL.Host); r.URL.Host == "login.qa.example" {
					return answer(401, `{"error":"invalid_client"}`), nil
				}
				return answer(200, `{"access_token":"abc","expires_in":3600}`), nil
			})},
			OnEnvironment: func(_ string, inUse, tried tokensource.APIEnvironment) {
				reported = append(reported, "in use "+inUse.TokenURL+", tried "+tried.TokenURL)
			},
		})
		for _, set := range []setFiles{production, qa, production} {
			files.write(t, set)
			source.start()
			source.ReloadCredentials()
			time.Sleep(900 * time.Millisecond)
			synctest.Wait()
		}
		source.stop()
		want := []string{"in use , tried ", "login.example", "in use , tried " + qaToken, "login.qa.example", "in use , tried "}
		if !slices.Equal(reported, want) {
			t.Errorf("got %q, want %q", reported, want)
		}
	})
}
