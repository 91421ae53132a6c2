package tokensource_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// The files may be written before the login server knows the new pair.
func TestRetriesRejectedChangeLessAndLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		f.at(time.Second)
		f.change(t, "new-id", "new-secret")
		for range 150 { // as polling does
			time.Sleep(10 * time.Second)
			f.ReloadCredentials()
		}
		var got []time.Duration
		for _, request := range f.server.TokenRequests()[1:] {
			got = append(got, request.At.Sub(f.began).Round(time.Second)/time.Second-1)
		}
		if want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543, 603, 903, 1203}; !slices.Equal(got, want) {
			t.Errorf("the new pair was tried after %d s, want %d s", got, want)
		}
		f.server.SetClient("new-id", "new-secret") // an administrator enables the client
		f.at(1510 * time.Second)
		if got := f.Snapshot().Reloads; got[0] != 1 {
			t.Errorf("reloads %v, want the new pair in use", got)
		}
	})
}

// The new pair is written before the login server knows it, and the old one ends when it does. Requests must not wait for the
// end of a long pause.
func TestChangeOfFilesBeforeLoginServer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ends, known, limit time.Duration // when the old pair ends and the new one is known; how long requests may lack a token then
	}{
		"two seconds before":    {8 * time.Second, 8 * time.Second, 0},
		"half a minute before":  {11 * time.Second, 40 * time.Second, time.Minute},
		"with a gap of seconds": {8 * time.Second, 14 * time.Second, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFileRig(t, fakeetrusted.Options{Lifetime: 10 * time.Second})
				f.at(6 * time.Second)
				f.change(t, "new-id", "new-secret")
				f.at(tc.ends)
				f.server.RemoveClient(fakeetrusted.DefaultClientID)
				f.at(tc.known)
				f.server.SetClient("new-id", "new-secret")
				for f.Snapshot().Reloads[0] == 0 {
					f.at(time.Since(f.began) + 10*time.Millisecond)
					if _, _, ok := f.Current(); !ok && time.Since(f.began) > tc.known+tc.limit {
						t.Fatalf("no token %v after the login server knows the new pair: %+v", time.Since(f.began)-tc.known, f.Snapshot())
					}
				}
			})
		})
	}
}

// When the pair in use is rejected, the pair that waits is tried at once and not after its pause.
func TestRejectionTriesWaitingPair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{Lifetime: 200 * time.Second})
		f.at(time.Second)
		f.change(t, "new-id", "new-secret")
		f.at(130 * time.Second) // the next attempt with the new pair comes after 183 s
		f.server.RemoveClient(fakeetrusted.DefaultClientID)
		f.server.SetClient("new-id", "new-secret")
		before := f.server.TokenRequestCount()
		f.at(161 * time.Second) // the refresh was due
		if got := f.Snapshot().Reloads[0]; got != 1 || f.server.TokenRequestCount() != before+2 {
			t.Errorf("%d reloads, %d token requests; want the new pair in use after one rejection", got, f.server.TokenRequestCount()-before)
		}
	})
}

func TestWritingFilesAgainRetriesSoon(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"changed pair": "new-id", "pair in use": fakeetrusted.DefaultClientID} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFileRig(t, fakeetrusted.Options{Lifetime: 10 * time.Hour})
				if id == "new-id" {
					f.at(time.Second)
				} else {
					f.server.RemoveClient(id)
				}
				f.start()
				f.change(t, id, fakeetrusted.DefaultClientSecret)
				f.at(70 * time.Second) // it was rejected for the seventh time after 63 s
				before := f.server.TokenRequestCount()
				f.ReloadCredentials() // without a change
				time.Sleep(10 * time.Second)
				if n := f.server.TokenRequestCount() - before; n != 0 {
					t.Errorf("%d token requests without a change, want 0", n)
				}
				f.server.SetClient(id, fakeetrusted.DefaultClientSecret)
				time.Sleep(time.Second)
				f.touch(t)
				f.ReloadCredentials()
				time.Sleep(2 * time.Second) // until they have settled, and a second after the last attempt
				if snapshot := f.Snapshot(); !snapshot.Valid || snapshot.LastFailure != nil || snapshot.PendingReload != nil {
					t.Errorf("snapshot %+v, want a token of the pair", snapshot)
				}
			})
		})
	}
}

// The old pair is rejected, so requests need the new one: each that gets a 503 counts.
func TestRejectedOldPairMakesNewOneNeeded(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{10 * time.Second, 90 * time.Second} { // the outage, without a token
		synctest.Test(t, func(t *testing.T) {
			f := newFileRig(t, fakeetrusted.Options{Lifetime: 20 * time.Second})
			outage := fakeetrusted.Status(503, nil)
			f.at(time.Second)
			f.server.SetTokenFault(outage)
			f.at(21 * time.Second)
			f.server.RemoveClient(fakeetrusted.DefaultClientID)
			f.server.SetTokenFault(nil)
			if _, err := f.wait(time.Minute); !isRejected(err) {
				t.Fatalf("Wait: %v, want a rejection", err)
			}
			f.at(60 * time.Second) // the next attempt with the old pair comes after some minutes
			f.server.SetClient("new-id", "new-secret")
			f.server.SetTokenFault(outage)
			f.change(t, "new-id", "new-secret")
			for changed := time.Now(); time.Since(changed) < lasts; time.Sleep(time.Second) {
				if took, err := f.wait(time.Second); took != 0 || !isRejected(err) {
					t.Fatalf("Wait took %v: %v, want a rejection at once", took, err)
				}
			}
			f.server.SetTokenFault(nil)
			const limit = 5500 * time.Millisecond // there has been no token for more than 30 s
			f.at(time.Since(f.began) + limit)
			if _, _, ok := f.Current(); !ok {
				t.Errorf("no token %v after an outage of %v, want one", limit, lasts)
			}
		})
	}
}

// A login server that limits the rate of token requests does so whatever happens to the files or to the pair in use.
func TestChangedPairIsNotTriedBeforeRetryAfter(t *testing.T) {
	t.Parallel()
	limited := fakeetrusted.Status(429, http.Header{"Retry-After": {"90"}})
	write := func(t *testing.T, f *fileRig, id, secret string) {
		t.Helper()
		f.change(t, id, secret)
		f.touch(t)
		f.ReloadCredentials()
	}
	for name, meanwhile := range map[string]func(t *testing.T, f *fileRig){
		"the pair in use is rejected": func(_ *testing.T, f *fileRig) { f.server.RemoveClient(fakeetrusted.DefaultClientID) },
		"the files are written again": func(t *testing.T, f *fileRig) { write(t, f, "new-id", "new-secret") },
		"the change is reverted for some seconds": func(t *testing.T, f *fileRig) {
			write(t, f, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
			f.at(time.Since(f.began) + 5*time.Second)
			write(t, f, "new-id", "new-secret")
		},
		"a file is empty for some seconds": func(t *testing.T, f *fileRig) {
			write(t, f, "new-id", "")
			f.at(time.Since(f.began) + 5*time.Second)
			write(t, f, "new-id", "new-secret")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFileRig(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
				f.server.SetClient("new-id", "new-secret")
				f.at(60 * time.Second)
				f.server.SetTokenFault(limited)
				f.change(t, "new-id", "new-secret")
				f.server.SetTokenFault(nil)
				meanwhile(t, f)
				f.at(149 * time.Second)
				if ids := f.clients(); len(slices.DeleteFunc(ids, func(id string) bool { return id != "new-id" })) != 1 {
					t.Errorf("got token requests of %v, want one of new-id", f.clients())
				}
				f.at(152 * time.Second)
				if got := f.Snapshot().Reloads[0]; got != 1 {
					t.Errorf("got %d reloads after Retry-After, want 1", got)
				}
			})
		})
	}
}

func TestOutagePostponesReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		f.server.SetClient("new-id", "new-secret")
		f.at(time.Second)
		before, _, _ := f.Current()
		f.server.SetTokenFault(fakeetrusted.Status(503, nil))
		f.change(t, "new-id", "new-secret")
		f.at(2 * time.Minute)
		if now, _, ok := f.Current(); !ok || now != before || f.Snapshot().Reloads != [3]uint64{} {
			t.Errorf("Current = %q, %v, reloads %v; want the old token and no reload", now, ok, f.Snapshot().Reloads)
		}
		if n := f.server.TokenRequestCount(); n < 5 || n > 60 {
			t.Errorf("%d token requests in 2 minutes, want 5 to 60", n)
		}
		f.server.SetTokenFault(nil)
		f.at(2*time.Minute + 31*time.Second)
		if got := f.Snapshot().Reloads; got != [3]uint64{1, 0, 0} {
			t.Errorf("reloads %v, want the new pair in use within one backoff", got)
		}
	})
}

// The change of the files went unnoticed, so the rejection triggers the reload.
func TestRejectionReloadsFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFileRig(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
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
