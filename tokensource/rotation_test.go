package tokensource_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// files is a pair in files, in a rig of its own.
type files struct {
	*rig
	id, secret string // paths
}

func newFiles(t *testing.T, options fakeetrusted.Options) *files {
	t.Helper()
	dir := t.TempDir()
	f := &files{id: filepath.Join(dir, "client_id"), secret: filepath.Join(dir, "client_secret")}
	f.write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	f.rig = newRigWith(t, options, tokensource.Origin{
		ID:     tokensource.Part{Name: f.id, File: f.id},
		Secret: tokensource.Part{Name: f.secret, File: f.secret},
	})
	return f
}

// write writes the pair and leaves it to the test to tell the source; an empty text makes an empty file.
func (f *files) write(t *testing.T, id, secret string) {
	t.Helper()
	for path, text := range map[string]string{f.id: id, f.secret: secret} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *files) change(t *testing.T, id, secret string) {
	t.Helper()
	f.write(t, id, secret)
	f.Recheck()
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

// clients are the ids that token requests came from so far.
func (f *files) clients() []string {
	var ids []string
	for _, request := range f.server.TokenRequests() {
		ids = append(ids, request.Form.Get("client_id"))
	}
	return ids
}

func TestRotationMakesBeforeItBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{})
		f.server.SetClient("new-id", "new-secret")
		f.at(time.Second)
		before, _ := f.Current()
		steps := []struct {
			name, id, secret string
			change           bool
			want             [3]uint64 // success, rejected, unreadable
		}{
			{"the same again", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret + "\n", false, [3]uint64{}},
			{"a wrong pair", "new-id", "wrong", false, [3]uint64{0, 1, 0}},
			{"the wrong pair again", "new-id", "wrong\r\n", false, [3]uint64{0, 1, 0}},
			{"an empty file", "new-id", "", false, [3]uint64{0, 1, 1}},
			{"half of the new pair", "new-id", fakeetrusted.DefaultClientSecret, false, [3]uint64{0, 2, 1}},
			{"the new pair", "new-id", "new-secret", true, [3]uint64{1, 2, 1}},
		}
		for _, step := range steps {
			time.Sleep(2 * time.Second)
			f.change(t, step.id, step.secret)
			now, ok := f.Current()
			if !ok || (now != before) != step.change {
				t.Errorf("%s: changed = %v, want %v", step.name, now != before, step.change)
			}
			snapshot := f.Snapshot()
			if snapshot.Reloads != step.want {
				t.Errorf("%s: reloads %v, want %v", step.name, snapshot.Reloads, step.want)
			}
			if snapshot.ConsecutiveFailures != 0 || snapshot.LastFailure != nil || snapshot.Refreshes[1] != 0 {
				t.Errorf("%s: a pair on trial has changed %+v", step.name, snapshot)
			}
		}
		if snapshot := f.Snapshot(); !snapshot.LastChange.Equal(snapshot.LastSuccess) || snapshot.Refreshes[0] != 2 {
			t.Errorf("snapshot %+v", snapshot)
		}
		if got := f.reloads(); !slices.Equal(got, []tokensource.ReloadOutcome{"rejected", "unreadable", "rejected", "success"}) {
			t.Errorf("reloads told: %v", got)
		}
		f.at(time.Hour) // refreshes are made with the new pair from now on
		if ids := f.clients(); ids[len(ids)-1] != "new-id" {
			t.Error("the old pair is still in use")
		}
	})
}

// TestUnusedCredentialsAreKnown holds that one can see that a rotation went wrong while the old pair still serves, and no
// longer once it has been mended or taken back.
func TestUnusedCredentialsAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{})
		f.server.SetClient("new-id", "new-secret")
		f.at(time.Second)
		outage := fakeetrusted.Status(503, nil)
		for _, step := range []struct {
			name, id, secret string
			fault            http.Handler
			want             tokensource.ReloadOutcome // empty: those that were read are in use
		}{
			{"at first", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret, nil, ""},
			{"a wrong pair", "new-id", "wrong", nil, tokensource.ReloadRejected},
			{"taken back", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret, nil, ""},
			{"an empty file", "new-id", "", nil, tokensource.ReloadUnreadable},
			{"in an outage", "new-id", "new-secret", outage, tokensource.ReloadPostponed},
			{"the right pair", "new-id", "new-secret", nil, ""},
			{"a wrong pair again", "new-id", "wrong", nil, tokensource.ReloadRejected},
		} {
			time.Sleep(30 * time.Second)
			f.server.SetTokenFault(step.fault)
			f.change(t, step.id, step.secret)
			time.Sleep(31 * time.Second) // the longest pause before another try
			snapshot := f.Snapshot()
			var got tokensource.ReloadOutcome
			if snapshot.Unused != nil {
				got = snapshot.Unused.Outcome
			}
			if got != step.want || snapshot.UnusedAt.IsZero() != (step.want == "") {
				t.Errorf("%s: %q since %v, want %q", step.name, got, snapshot.UnusedAt, step.want)
			}
			if !snapshot.Valid || snapshot.LastFailure != nil {
				t.Errorf("%s: the token has suffered: %+v", step.name, snapshot)
			}
		}
		if f.Snapshot().Unused.Advice == "" || f.Snapshot().Unused.Reason == "" {
			t.Errorf("does not say what to do: %+v", f.Snapshot().Unused)
		}
	})
}

// TestUnusedFirstCredentials holds the same where there is nothing else to be used: once there is, all is well.
func TestUnusedFirstCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{})
		f.write(t, "", "")
		f.at(time.Second)
		if unused := f.Snapshot().Unused; unused == nil || unused.Outcome != tokensource.ReloadUnreadable {
			t.Errorf("%+v", unused)
		}
		f.change(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
		if snapshot := f.Snapshot(); snapshot.Unused != nil || !snapshot.Valid {
			t.Errorf("%+v", snapshot)
		}
	})
}

func TestARejectedPairIsTriedAgainAfterFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{Lifetime: time.Hour})
		f.at(time.Second)
		f.change(t, "new-id", "new-secret")
		for range 20 { // what a poll does
			time.Sleep(10 * time.Second)
			f.Recheck()
		}
		if n := f.server.TokenRequestCount(); n != 2 {
			t.Fatalf("%d token requests, want the first and one trial", n)
		}
		f.server.SetClient("new-id", "new-secret") // somebody enables the client
		f.at(6 * time.Minute)
		if got := f.Snapshot().Reloads; got != [3]uint64{1, 1, 0} {
			t.Errorf("reloads %v", got)
		}
	})
}

func TestAnOutagePostponesTheTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{Lifetime: time.Hour})
		f.server.SetClient("new-id", "new-secret")
		f.at(time.Second)
		before, _ := f.Current()
		f.server.SetTokenFault(fakeetrusted.Status(503, nil))
		f.change(t, "new-id", "new-secret")
		f.at(2 * time.Minute)
		if now, ok := f.Current(); !ok || now != before || f.Snapshot().Reloads != [3]uint64{} {
			t.Error("an outage has changed something")
		}
		if n := f.server.TokenRequestCount(); n < 5 || n > 60 {
			t.Errorf("%d token requests in 2 minutes", n)
		}
		f.server.SetTokenFault(nil)
		f.at(2*time.Minute + 31*time.Second)
		if got := f.Snapshot().Reloads; got != [3]uint64{1, 0, 0} {
			t.Errorf("reloads %v: the new pair should be in use within one backoff", got)
		}
	})
}

// The files changed without anybody noticing: the rejection is the notice.
func TestARejectionHasTheFilesReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
		f.at(time.Second)
		f.server.RemoveClient(fakeetrusted.DefaultClientID)
		f.server.SetClient("new-id", "new-secret")
		f.write(t, "new-id", "new-secret")
		f.at(90 * time.Second)
		snapshot := f.Snapshot()
		if !snapshot.Valid || snapshot.Reloads != [3]uint64{1, 0, 0} || snapshot.LastFailure != nil || snapshot.Refreshes != [4]uint64{2, 1, 0, 0} {
			t.Errorf("snapshot %+v", snapshot)
		}
	})
}

func TestAProgramThatWritesInALoopIsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{Lifetime: time.Hour})
		f.at(time.Second)
		for i := range 600 {
			f.change(t, "new-id", strings.Repeat("x", i+1))
			time.Sleep(99 * time.Millisecond)
		}
		if n := f.server.TokenRequestCount(); n > 62 {
			t.Errorf("%d token requests in a minute", n)
		}
	})
}

func TestAnUnreadableStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t, fakeetrusted.Options{})
		f.write(t, "", "")
		took, err := f.await(time.Minute)
		if none := noToken(t, err); took != 0 || !strings.Contains(none.Error(), "client_secret is empty") || strings.Contains(none.Error(), "\n") {
			t.Errorf("after %v: %v", took, err)
		}
		if n := f.server.TokenRequestCount(); n != 0 {
			t.Errorf("%d token requests without credentials", n)
		}
		f.change(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
		if _, err := f.await(time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestRejectionIsExplained(t *testing.T) {
	for name, tc := range map[string]struct {
		id, secret string
		want       []string
		not        string
	}{
		"a good form":        {"a1b2c3d4e5f6__shop", "s3cret", nil, "looks like"},
		"prefix with a dash": {"prefix-shop", "s3cret", nil, "looks like"},
		"a bare Identifier":  {"shop", "s3cret", []string{"ETRUSTED_CLIENT_ID looks like an Identifier alone"}, "quotes"},
		"quotes":             {`"a-shop"`, `'s3cret'`, []string{"ETRUSTED_CLIENT_ID has quotes", "ETRUSTED_CLIENT_SECRET has quotes"}, "looks like"},
		"blanks":             {"a-shop", " s3cret", []string{"ETRUSTED_CLIENT_SECRET has quotes or blanks"}, "ETRUSTED_CLIENT_ID has"},
		"the same":           {"a-shop", "a-shop", []string{"are the same text"}, "looks like"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(t, fakeetrusted.Options{}, fixed(tc.id, tc.secret))
				_, err := r.await(time.Second)
				advice := noToken(t, err).Advice()
				want := append(tc.want, "prefix and the Identifier together", `"Client enabled" is green`, `read anew with "Show"`, "same client", "administrator")
				for _, part := range want {
					if !strings.Contains(advice, part) {
						t.Errorf("the advice lacks %q: %s", part, advice)
					}
				}
				if strings.Contains(advice, tc.not) || strings.Contains(advice, tc.secret) {
					t.Errorf("the advice says too much: %s", advice)
				}
			})
		})
	}
}
