package tokensource_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// These tests wait for file events, so they run in real time.
type accounts struct {
	*tokensource.Accounts
	server *fakeetrusted.Server
	dir    string

	mu     sync.Mutex
	events []string
}

func newAccounts(t *testing.T, config tokensource.AccountsConfig) *accounts {
	t.Helper()
	a := &accounts{server: fakeetrusted.New(fakeetrusted.Options{}), dir: config.Dir}
	server := httptest.NewServer(a.server)
	transport := &http.Transport{}
	config.Source.Endpoint = tokensource.TokenEndpoint{URL: server.URL + "/oauth/token", Audience: "https://api.etrusted.com", Transport: transport}
	record := func(what string) func(string) {
		return func(text string) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.events = append(a.events, what+" "+text)
		}
	}
	config.OnAdded, config.OnRemoved, config.OnSkipped = record("added"), record("removed"), record("skipped")
	var err error
	if a.Accounts, err = tokensource.NewAccounts(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() { a.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		loop.Wait()
		transport.CloseIdleConnections()
		server.Close()
	})
	return a
}

// recorded returns the events so far.
func (a *accounts) recorded() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events)
}

func (a *accounts) has(event string) bool { return slices.Contains(a.recorded(), event) }

// add creates an account that the fake login server accepts.
func (a *accounts) add(t *testing.T, name string) {
	t.Helper()
	a.server.SetClient("id-"+name, "secret-"+name)
	dir := filepath.Join(a.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	credentialFiles(dir).write(t, "id-"+name+"\n", "secret-"+name+"\n")
}

func (a *accounts) valid(name string) func() bool {
	return func() bool {
		source, ok := a.Source(name)
		if !ok {
			return false
		}
		_, _, ok = source.Current()
		return ok
	}
}

func (a *accounts) reloads(t *testing.T, name string) [3]uint64 {
	t.Helper()
	source, ok := a.Source(name)
	if !ok {
		t.Fatalf("there is no account %q", name)
	}
	return source.Snapshot().Reloads
}

func TestAccountsFollowDirectory(t *testing.T) {
	t.Parallel()
	a := newAccounts(t, tokensource.AccountsConfig{Dir: t.TempDir()})
	if _, ok := a.Source(""); ok {
		t.Error("Source returns a default account, want none")
	}
	a.add(t, "shop-de")
	brokertest.Eventually(t, "the first account", a.valid("shop-de"))
	a.add(t, "shop-at")
	brokertest.Eventually(t, "the second account", a.valid("shop-at"))
	german, _ := a.Source("shop-de")
	before, _, _ := german.Current()

	a.server.SetClient("id-shop-at", "rotated")
	writeFile(t, filepath.Join(a.dir, "shop-at", "client_secret"), "rotated")
	brokertest.Eventually(t, "the rotation", func() bool { return a.reloads(t, "shop-at") == [3]uint64{1, 0, 0} })

	var names []string
	for _, snapshot := range a.Snapshots() {
		names = append(names, snapshot.Account)
	}
	if !slices.Equal(names, []string{"shop-at", "shop-de"}) {
		t.Errorf("accounts %v", names)
	}

	if err := os.RemoveAll(filepath.Join(a.dir, "shop-at")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the removal", func() bool { return a.has("removed shop-at") })
	if _, ok := a.Source("shop-at"); ok || len(a.Snapshots()) != 1 {
		t.Errorf("Source: ok = %v, %d snapshots; want the account removed", ok, len(a.Snapshots()))
	}
	if now, _, ok := german.Current(); !ok || now != before || german.Snapshot().Refreshes != [4]uint64{1, 0, 0, 0} {
		t.Errorf("Current = %q, %v, %+v; want the other account unchanged", now, ok, german.Snapshot())
	}
	a.add(t, "shop-at")
	brokertest.Eventually(t, "the account added again", a.valid("shop-at"))
}

func TestSkipsInvalidAccountNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	longest := strings.Repeat("a", 63)
	for _, name := range []string{"a", "0-9", longest, longest + "a", "Shop", "shop_de", "-shop", "default", ".hidden", "..data"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "README"), "not an account")
	a := newAccounts(t, tokensource.AccountsConfig{Dir: dir})
	var names []string
	for _, snapshot := range a.Snapshots() {
		names = append(names, snapshot.Account)
	}
	if !slices.Equal(names, []string{"0-9", "a", longest}) {
		t.Errorf("accounts %v", names)
	}
	events := a.recorded()
	for _, bad := range []string{longest + "a", "Shop", "shop_de", "-shop", "default"} {
		if !slices.ContainsFunc(events, func(text string) bool {
			return strings.HasPrefix(text, "skipped \""+bad+"\" is not a valid account name")
		}) {
			t.Errorf("events %v, want a warning that names %s", events, bad)
		}
	}
	if len(events) < 5 || slices.ContainsFunc(events, func(text string) bool { return strings.Contains(text, "README") || strings.Contains(text, "..data") }) {
		t.Errorf("events %v, want no other warning", events)
	}
}

// However files are replaced, the change is noticed, and no half-replaced pair is used.
func TestReloadsFilesHoweverReplaced(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, dir, id, secret string){
		"in place": func(t *testing.T, dir, id, secret string) {
			credentialFiles(dir).write(t, id, secret)
		},
		"renamed by an editor": func(t *testing.T, dir, id, secret string) {
			for file, text := range map[string]string{"client_id": id, "client_secret": secret} {
				temporary := filepath.Join(dir, "."+file+".swp")
				writeFile(t, temporary, text)
				if err := os.Rename(temporary, filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			}
		},
		"removed and created again": func(t *testing.T, dir, id, secret string) {
			for file, text := range map[string]string{"client_id": id, "client_secret": secret} {
				if err := os.Remove(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
				writeFile(t, filepath.Join(dir, file), text)
			}
		},
		"half a second apart": func(t *testing.T, dir, id, secret string) {
			writeFile(t, filepath.Join(dir, "client_id"), id)
			time.Sleep(500 * time.Millisecond)
			writeFile(t, filepath.Join(dir, "client_secret"), secret)
		},
		"Kubernetes' symbolic link": swap,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			swap(t, dir, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
			if name != "Kubernetes' symbolic link" {
				for _, file := range []string{"client_id", "client_secret"} { // plain files
					_ = os.Remove(filepath.Join(dir, file))
				}
				credentialFiles(dir).write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
			}
			pair := credentialFiles(dir).source()
			a := newAccounts(t, tokensource.AccountsConfig{Default: &pair})
			brokertest.Eventually(t, "the first token", a.valid(""))
			source, _ := a.Source("")
			before, _, _ := source.Current()
			a.server.SetClient("new-id", "new-secret")
			replace(t, dir, "new-id\n", "new-secret\n")
			brokertest.Eventually(t, "the new pair", func() bool { return a.reloads(t, "")[0] == 1 })
			if now, _, ok := source.Current(); !ok || now == before {
				t.Errorf("Current = %q, %v, want a token of the new pair", now, ok)
			}
			if failures := source.Snapshot().ConsecutiveFailures; failures != 0 {
				t.Errorf("%d consecutive failures, want 0", failures)
			}
		})
	}
}

// swap replaces the pair like Kubernetes: a new directory, and a symbolic link renamed over the old one.
func swap(t *testing.T, dir, id, secret string) {
	t.Helper()
	version, err := os.MkdirTemp(dir, "..version")
	if err != nil {
		t.Fatal(err)
	}
	credentialFiles(version).write(t, id, secret)
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	if err := os.Symlink(filepath.Base(version), filepath.Join(dir, "..data_tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if old != "" {
		_ = os.RemoveAll(filepath.Join(dir, old))
		return
	}
	for _, file := range []string{"client_id", "client_secret"} {
		if err := os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLimitsConcurrentTokenRequests(t *testing.T) {
	t.Parallel()
	const count = 500
	dir := t.TempDir()
	for i := range count {
		dir := filepath.Join(dir, fmt.Sprintf("shop-%d", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		credentialFiles(dir).write(t, "id", "secret")
	}
	var now, most atomic.Int64
	a, err := tokensource.NewAccounts(tokensource.AccountsConfig{Dir: dir, Source: tokensource.Config{Endpoint: tokensource.TokenEndpoint{
		URL: "http://login.example/",
		Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Millisecond)
			return answer(http.StatusOK, `{"access_token":"abc","expires_in":300}`), nil
		}),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() { a.Run(ctx) })
	for i := range count {
		source, _ := a.Source(fmt.Sprintf("shop-%d", i))
		if _, _, err := source.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	loop.Wait()
	if n := most.Load(); n > 8 || n < 2 {
		t.Errorf("%d concurrent token requests, want 2 to 8", n)
	}
}

func TestNewAccountsReportsMissingDir(t *testing.T) {
	t.Parallel()
	_, err := tokensource.NewAccounts(tokensource.AccountsConfig{Dir: filepath.Join(t.TempDir(), "missing"), Source: tokensource.Config{
		Endpoint: tokensource.TokenEndpoint{URL: "http://login.example/", Transport: always("")},
	}})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("err = %v, want no such file", err)
	}
}
