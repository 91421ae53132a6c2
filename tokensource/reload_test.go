package tokensource_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestReloadMakesBeforeBreak(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{})
		f.server.SetClient("new-id", "new-secret")
		f.at(time.Second)
		before, _, _ := f.Current()
		steps := []struct {
			name, id, secret string
			change           bool
			want             [3]uint64 // success, rejected, unreadable
		}{
			{"the same again", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret + "\n", false, [3]uint64{}},
			{"a wrong pair", "new-id", "wrong", false, [3]uint64{0, 1, 0}},
			{"an empty file", "new-id", "", false, [3]uint64{0, 1, 1}},
			{"half of the new pair", "new-id", fakeetrusted.DefaultClientSecret, false, [3]uint64{0, 2, 1}},
			{"the new pair", "new-id", "new-secret", true, [3]uint64{1, 2, 1}},
		}
		for _, step := range steps {
			time.Sleep(600 * time.Millisecond)
			f.change(t, step.id, step.secret)
			time.Sleep(300 * time.Millisecond) // the next step comes before a rejected pair is tried again
			now, _, ok := f.Current()
			if !ok || (now != before) != step.change {
				t.Errorf("%s: changed = %v, want %v", step.name, now != before, step.change)
			}
			snapshot := f.Snapshot()
			if snapshot.Reloads != step.want {
				t.Errorf("%s: reloads %v, want %v", step.name, snapshot.Reloads, step.want)
			}
			if snapshot.ConsecutiveFailures != 0 || snapshot.LastFailure != nil || snapshot.Refreshes[1] != 0 {
				t.Errorf("%s: snapshot %+v, want no failure from a candidate", step.name, snapshot)
			}
		}
		if snapshot := f.Snapshot(); !snapshot.LastChange.Equal(snapshot.LastSuccess) || snapshot.Refreshes[0] != 2 {
			t.Errorf("snapshot %+v", snapshot)
		}
		if got := f.reloads(); !slices.Equal(got, []tokensource.ReloadOutcome{"rejected", "unreadable", "rejected", "success"}) {
			t.Errorf("reported reloads %v, want rejected, unreadable, rejected, success", got)
		}
		f.at(time.Hour) // refreshes are made with the new pair from now on
		if ids := f.clients(); ids[len(ids)-1] != "new-id" {
			t.Errorf("last client %q, want new-id", ids[len(ids)-1])
		}
	})
}

// A failed rotation is visible while the old pair is in use, until it is fixed or reverted.
func TestSnapshotReportsPendingReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{})
		f.server.SetClient("new-id", "new-secret")
		f.at(time.Second)
		outage := fakeetrusted.Status(503, nil)
		for _, step := range []struct {
			name, id, secret string
			fault            http.Handler
			want             tokensource.ReloadOutcome // empty: the credentials that were read are in use
		}{
			{"at first", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret, nil, ""},
			{"a wrong pair", "new-id", "wrong", nil, tokensource.ReloadRejected},
			{"reverted", fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret, nil, ""},
			{"an empty file", "new-id", "", nil, tokensource.ReloadUnreadable},
			{"in an outage", "new-id", "new-secret", outage, tokensource.ReloadPostponed},
			{"the right pair", "new-id", "new-secret", nil, ""},
			{"a wrong pair again", "new-id", "wrong", nil, tokensource.ReloadRejected},
		} {
			time.Sleep(30 * time.Second)
			f.server.SetTokenFault(step.fault)
			f.change(t, step.id, step.secret)
			time.Sleep(31 * time.Second) // the longest pause before the next attempt
			snapshot := f.Snapshot()
			var got tokensource.ReloadOutcome
			if snapshot.PendingReload != nil {
				got = snapshot.PendingReload.Outcome
			}
			if got != step.want || snapshot.PendingReloadAt.IsZero() != (step.want == "") {
				t.Errorf("%s: %q since %v, want %q", step.name, got, snapshot.PendingReloadAt, step.want)
			}
			if !snapshot.Valid || snapshot.LastFailure != nil {
				t.Errorf("%s: snapshot %+v, want a valid token and no failure", step.name, snapshot)
			}
		}
		if f.Snapshot().PendingReload.Advice == "" || f.Snapshot().PendingReload.Reason == "" {
			t.Errorf("pending reload %+v, want reason and advice", f.Snapshot().PendingReload)
		}
	})
}

func TestSnapshotReportsUnreadableFirstPair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{})
		f.write(t, "", "")
		f.at(time.Second)
		if pending := f.Snapshot().PendingReload; pending == nil || pending.Outcome != tokensource.ReloadUnreadable {
			t.Errorf("pending reload %+v, want unreadable", pending)
		}
		f.change(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
		if snapshot := f.Snapshot(); snapshot.PendingReload != nil || !snapshot.Valid {
			t.Errorf("snapshot %+v, want a valid token and no pending reload", snapshot)
		}
	})
}

// A secret that is written in two steps is not sent to the login server before it is complete.
func TestHalfWrittenPairIsNotTried(t *testing.T) {
	t.Parallel()
	for name, signalled := range map[string]bool{"the change is noticed": true, "the pair in use is rejected": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFileRig(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
				f.server.SetClient("new-id", "new-secret")
				f.at(time.Second)
				f.server.RemoveClient(fakeetrusted.DefaultClientID)
				if !signalled {
					f.at(time.Until(f.Snapshot().NextAttempt) + time.Second - time.Millisecond)
				}
				for _, secret := range []string{"", "new", "new-sec", "new-secret"} {
					f.write(t, "new-id", secret)
					f.touch(t)
					if signalled {
						f.ReloadCredentials()
					}
					time.Sleep(700 * time.Millisecond)
				}
				time.Sleep(3 * time.Second)
				if got := f.reloads(); !slices.Equal(got, []tokensource.ReloadOutcome{tokensource.ReloadSuccess}) {
					t.Errorf("got the reloads %v, want one success", got)
				}
				if request := f.server.TokenRequests()[f.server.TokenRequestCount()-1]; request.Form.Get("client_secret") != "new-secret" {
					t.Error("got another secret in the last token request, want the new one")
				}
			})
		})
	}
}

// Files that are written while the broker waits for them, too.
func TestHalfWrittenFirstPairIsNotTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{})
		f.write(t, "", "")
		f.at(time.Second)
		for _, secret := range []string{"", "half", fakeetrusted.DefaultClientSecret} {
			f.write(t, fakeetrusted.DefaultClientID, secret)
			f.touch(t)
			f.ReloadCredentials()
			time.Sleep(700 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if snapshot := f.Snapshot(); !snapshot.Valid || snapshot.PendingReload != nil || snapshot.Refreshes != [4]uint64{1, 0, 0, 0} {
			t.Errorf("got %+v, want a token after one request", snapshot)
		}
	})
}

// Files that were there before the broker are used at once: systemd writes them just before it starts the broker.
func TestFirstPairIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{})
		f.touch(t)
		f.at(10 * time.Millisecond)
		if !f.Snapshot().Valid {
			t.Errorf("got no token of files that were written just before the start, want one at once")
		}
	})
}

func TestRapidChangesCauseNoStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		f.at(time.Second)
		for i := range 600 {
			f.change(t, "new-id", strings.Repeat("x", i+1))
			time.Sleep(99 * time.Millisecond)
		}
		if n := f.server.TokenRequestCount(); n > 62 {
			t.Errorf("%d token requests in a minute, want at most 62", n)
		}
	})
}

func TestRecoversFromUnreadableStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{})
		f.write(t, "", "")
		took, err := f.wait(time.Minute)
		if none := noToken(t, err); took != 0 || !strings.Contains(none.Error(), "client_secret is empty") || strings.Contains(none.Error(), "\n") {
			t.Errorf("Wait failed after %v with %v, want at once, naming the empty file on one line", took, err)
		}
		if n := f.server.TokenRequestCount(); n != 0 {
			t.Errorf("%d token requests without credentials, want 0", n)
		}
		f.change(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
		if _, err := f.wait(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// systemd's copies of the credentials never change, so advice to correct the files would not help.
func TestAdviceSaysHowTheBrokerLearnsOfOtherCredentials(t *testing.T) {
	t.Parallel()
	for restart, want := range map[string]string{"": "The broker picks up changed credential files", "Restart the service.": "Restart the service."} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, fakeetrusted.Options{}, func(config *tokensource.Config) {
				config.Credentials = fixed("a-shop", "s3cret")
				config.Credentials.Restart = restart
			})
			_, err := r.wait(time.Second)
			if advice := noToken(t, err).Hint; !strings.Contains(advice, want) || restart != "" && strings.Contains(advice, "picks up") {
				t.Errorf("got the advice %q, want %q in it", advice, want)
			}
		})
	}
	missing := tokensource.CredentialFieldSource{Name: "ETRUSTED_CLIENT_ID_FILE", File: filepath.Join(t.TempDir(), "missing")}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{}, func(config *tokensource.Config) {
			config.Credentials = tokensource.CredentialSource{ID: missing, Secret: missing, Restart: "Restart the service."}
		})
		_, err := r.wait(time.Second)
		if advice := noToken(t, err).Hint; advice != "Restart the service." {
			t.Errorf("without the files: got the advice %q, want only the restart", advice)
		}
	})
}

func TestRejectionAdviceHasHints(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		id, secret string
		want       []string
		not        string
	}{
		"hex prefix":         {"a1b2c3d4e5f6__shop", "s3cret", nil, "looks like"},
		"prefix with a dash": {"prefix-shop", "s3cret", nil, "looks like"},
		"bare Identifier":    {"shop", "s3cret", []string{"ETRUSTED_CLIENT_ID looks like an Identifier without its prefix"}, "begins or ends with quotes"},
		"quotes":             {`"a-shop"`, `'s3cret'`, []string{"ETRUSTED_CLIENT_ID begins or ends with quotes", "ETRUSTED_CLIENT_SECRET begins or ends with quotes"}, "looks like"},
		"spaces":             {"a-shop", " s3cret", []string{"ETRUSTED_CLIENT_SECRET begins or ends with quotes or spaces"}, "ETRUSTED_CLIENT_ID begins"},
		"same value":         {"a-shop", "a-shop", []string{"have the same value"}, "looks like"},
		"swapped":            {"s3cret", "a1b2c3d4e5f6__shop", []string{"ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET are probably swapped"}, "Identifier without"},
		"assignment":         {"a-shop", `export CLIENT_SECRET="s3cret"`, []string{"ETRUSTED_CLIENT_SECRET contains NAME=VALUE"}, "begins or ends with quotes"},
		"base64":             {"a-shop", "s3_cret==", nil, "NAME=VALUE"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{}, func(config *tokensource.Config) { config.Credentials = fixed(tc.id, tc.secret) })
				_, err := r.wait(time.Second)
				advice := noToken(t, err).Hint
				want := append(tc.want, `"Client enabled" is green`, "prefix and Identifier together", `the one that "Show" displays now`, "same client", "production or QA", "administrators")
				for _, part := range want {
					if !strings.Contains(advice, part) {
						t.Errorf("advice %q, want it to contain %q", advice, part)
					}
				}
				if len(tc.want) > 0 && strings.Index(advice, tc.want[0]) > strings.Index(advice, "In the eTrusted Control Centre") {
					t.Errorf("advice %q, want %q first", advice, tc.want[0])
				}
				if strings.Contains(advice, tc.not) || strings.Contains(advice, tc.secret) {
					t.Errorf("advice %q, want neither %q nor the secret", advice, tc.not)
				}
			})
		})
	}
}
