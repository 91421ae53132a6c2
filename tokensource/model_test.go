package tokensource_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/tokensource"
)

// TestInvariantsHoldInRandomRuns drives a source through random sequences of events and checks the invariants after each.
// A failure names its seed.
func TestInvariantsHoldInRandomRuns(t *testing.T) {
	sequences := 150
	if testing.Short() {
		sequences = 30
	}
	for seed := range sequences {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newLife(t, uint64(seed)).run(120) })
		})
	}
}

// life is a source, its login server, and the record of both that the invariants are checked against.
type life struct {
	t      *testing.T
	random *rand.Rand
	source *tokensource.Source
	dir    string
	stop   func()
	steps  []string

	mu       sync.Mutex
	mode     string        // how the login server responds
	delay    time.Duration // before the response
	lifetime time.Duration
	fetching int
	fetches  []fetch
	issued   map[string]*issue // by authorization
	held     string            // the authorization of the last success
}

type fetch struct {
	hedge     bool // another one was in flight when it began
	at, ended time.Time
	pair      string
	outcome   string
}

type issue struct {
	asked    time.Time
	lifetime time.Duration
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(),
		mode: "ok", lifetime: 300 * time.Second, issued: map[string]*issue{},
	}
	l.write("good1", "good1")
	field := func(name string) tokensource.CredentialField {
		path := filepath.Join(l.dir, name)
		return tokensource.CredentialField{Name: path, File: path}
	}
	source, err := tokensource.New(tokensource.Config{
		Credentials: tokensource.CredentialSource{ID: field("client_id"), Secret: field("client_secret")},
		Endpoint:    tokensource.TokenEndpoint{URL: "http://login.example/", Transport: l},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.source = source
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.source.Run(ctx)
	}()
	l.stop = func() {
		began := time.Now()
		cancel()
		<-ended
		if took := time.Since(began); took > 0 {
			l.fail("Run took %v to end", took)
		}
	}
	synctest.Wait() // for the first pair
	return l
}

func (l *life) fail(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(l.steps, "; "))
}

// RoundTrip is the login server.
func (l *life) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.fetching++
	if l.fetching > 2 {
		l.t.Error("three fetches at once")
	}
	this := fetch{hedge: l.fetching > 1, at: time.Now(), pair: form.Get("client_id") + "/" + form.Get("client_secret"), outcome: l.mode}
	delay, lifetime := l.delay, l.lifetime
	l.mu.Unlock()
	if this.outcome == "hang" {
		delay = time.Hour
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		err = r.Context().Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetching--
	if this.outcome == "ok" && !strings.HasPrefix(this.pair, "good") {
		this.outcome = "reject"
	}
	status, content := 200, ""
	switch this.outcome {
	case "ok":
		token := fmt.Sprintf("token%d", len(l.issued))
		content = fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, token, int(lifetime.Seconds()))
		if err == nil {
			l.held = "Bearer " + token
			l.issued[l.held] = &issue{asked: this.at, lifetime: lifetime}
		}
	case "reject":
		status, content = 401, `{"error":"invalid_client"}`
	case "html":
		content = "<html>"
	default:
		status = 503
	}
	if err != nil {
		this.outcome = "hang"
	}
	this.ended = time.Now()
	l.fetches = append(l.fetches, this)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(content))}, nil
}

func (l *life) run(steps int) {
	for range steps {
		l.step()
		synctest.Wait()
		l.check()
	}
	l.stop()
	if _, _, err := l.source.Wait(context.Background()); err != nil && !strings.Contains(err.Error(), "shutting down") {
		l.fail("after the end: %v", err)
	}
	l.checkStorms()
}

func (l *life) step() {
	switch n := l.random.IntN(100); {
	case n < 35:
		l.pass(time.Duration(l.random.Int64N(int64(20 * time.Second))))
	case n < 45:
		l.pass(time.Duration(l.random.Int64N(int64(10 * time.Minute))))
	case n < 60:
		l.setMode([]string{"ok", "ok", "ok", "outage", "reject", "html", "hang"}[l.random.IntN(7)])
	case n < 65:
		l.setDelay(time.Duration(l.random.Int64N(int64(4 * time.Second))))
	case n < 80:
		l.invalidate()
	case n < 93:
		id := []string{"good1", "good2", "bad1", "bad2", ""}[l.random.IntN(5)]
		l.write(id, id)
		l.source.ReloadCredentials()
	default:
		l.wait(time.Duration(l.random.Int64N(int64(15 * time.Second))))
	}
}

func (l *life) note(format string, args ...any) {
	l.steps = append(l.steps, fmt.Sprintf(format, args...))
}

// pass lets time pass and checks the invariants meanwhile.
func (l *life) pass(d time.Duration) {
	l.note("pass %v", d)
	for range 10 {
		time.Sleep(d / 10)
		synctest.Wait()
		l.check()
	}
}

func (l *life) setMode(mode string) {
	l.note("mode %s", mode)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = mode
	l.lifetime = []time.Duration{30 * time.Second, 300 * time.Second, 3600 * time.Second}[l.random.IntN(3)]
}

func (l *life) setDelay(d time.Duration) {
	l.note("delay %v", d)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

func (l *life) invalidate() {
	sent, _, ok := l.source.Current()
	if !ok {
		return
	}
	l.note("invalidate %s: %v", sent, l.source.Invalidate(sent))
}

func (l *life) write(id, secret string) {
	l.note("write %q", id)
	for name, text := range map[string]string{"client_id": id, "client_secret": secret} {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *life) wait(timeout time.Duration) {
	l.note("wait %v", timeout)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	began := time.Now()
	value, _, err := l.source.Wait(ctx)
	if took := time.Since(began); took > timeout {
		l.fail("waited %v", took)
	}
	if err == nil {
		l.checkAlive(value)
	}
}

// check checks what must hold at any time.
func (l *life) check() {
	value, _, ok := l.source.Current()
	if ok {
		l.checkAlive(value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.issued[l.held]
	if last != nil && time.Since(last.asked) < last.lifetime && value != l.held {
		l.fail("%s was lost %v before its expiry", l.held, last.lifetime-time.Since(last.asked))
	}
}

func (l *life) checkAlive(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	issue := l.issued[value]
	if issue == nil {
		l.fail("%s was never issued", value)
	}
	if age := time.Since(issue.asked); age >= issue.lifetime {
		l.fail("%s is returned %v after its request, want at most %v", value, age, issue.lifetime)
	}
}

// checkStorms checks the pauses between all token requests.
func (l *life) checkStorms() {
	slices.SortStableFunc(l.fetches, func(a, b fetch) int { return cmp.Or(a.at.Compare(b.at), a.ended.Compare(b.ended)) })
	var lastCandidate, lastOwn *fetch
	inUse := "good1/good1"
	for i := range l.fetches {
		this := &l.fetches[i]
		switch {
		case this.hedge:
			if gap := this.at.Sub(l.fetches[i-1].at); gap < 5*time.Second {
				l.fail("a second request %v after the one before, want 5s", gap)
			}
		case this.pair != inUse:
			if lastCandidate != nil && this.at.Sub(lastCandidate.ended) < time.Second {
				l.fail("candidates %v apart, want 1s: %+v %+v", this.at.Sub(lastCandidate.ended), *lastCandidate, *this)
			}
			lastCandidate = this
		default:
			if lastOwn != nil {
				if gap := this.at.Sub(lastOwn.ended); gap < leastGap(lastOwn.outcome) {
					l.fail("requested again %v after %s", gap, lastOwn.outcome)
				}
			}
			lastOwn = this
		}
		if this.outcome == "ok" {
			inUse, lastOwn = this.pair, this
		}
	}
}

// leastGap returns the minimum time between two token requests with the pair in use, by the outcome of the first.
func leastGap(outcome string) time.Duration {
	if outcome == "ok" {
		return 10 * time.Second // minTokenAge; with the lifetimes here a refresh is due later
	}
	return time.Second
}
