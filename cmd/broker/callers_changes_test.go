package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// Ten callers use the broker while others come, change and go. Not one of their requests may notice that.
func TestCallersChangeWithoutAffectingOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 10 {
		addFiles(t, dir, fmt.Sprint("steady-", i), "key", fmt.Sprint("steady-key-", i))
	}
	b, _ := startWithCallers(t, dir, "BROKER_ACCESS_LOG=false")
	ctx, stop := context.WithCancel(context.Background())
	var load sync.WaitGroup
	for i := range 10 {
		load.Go(func() {
			for ctx.Err() == nil {
				if got := getWithKey(t, b.URL+"/channels", fmt.Sprint("steady-key-", i)); got.Status != http.StatusOK {
					t.Errorf("caller %d: got status %d, want 200: %s", i, got.Status, got.Body)
					return
				}
			}
		})
	}
	for round := range 3 {
		name, key := fmt.Sprint("guest-", round), fmt.Sprint("guest-key-", round)
		addFiles(t, dir, name, "key", key+"\nsecond-"+key)
		brokertest.Eventually(t, "the new caller may use the broker", func() bool { return getWithKey(t, b.URL+"/channels", key).Status == http.StatusOK })
		conn := b.Dial(t)
		if conn.Get("/channels", "localhost", "Authorization: Bearer "+key).Status != http.StatusOK {
			t.Error("the new caller, on its own connection: got a refusal, want 200")
		}
		if round == 0 {
			brokertest.ReplaceFile(t, filepath.Join(dir, name, "key"), []byte("second-"+key))
		} else if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
		removed, status := time.Now(), 0
		for status != http.StatusUnauthorized && time.Since(removed) < brokertest.Timeout {
			status = conn.Get("/channels", "localhost", "Authorization: Bearer "+key).Status
		}
		t.Logf("revoked after %v", time.Since(removed))
		if status != http.StatusUnauthorized {
			t.Errorf("round %d: got status %d on the open connection after the removal, want 401", round, status)
		}
	}
	stop()
	load.Wait()
	if metrics := brokertest.Get(t, b.Admin+"/metrics").Body; strings.Contains(metrics, `caller="guest-1"`) || !strings.Contains(metrics, `caller="steady-9"`) {
		t.Error("got series of a removed caller, or none of another, want only callers that exist")
	}
}

func TestUnreadableCallersStayAsTheyWere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "callers")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	addFiles(t, dir, "shop", "key", "shop-key")
	b, _ := startWithCallers(t, dir)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the broker warns", func() bool { return len(b.Logs.Lines("cannot read the callers; keeping them as they were")) == 1 })
	if got := getWithKey(t, b.URL+"/channels", "shop-key"); got.Status != http.StatusOK {
		t.Errorf("got status %d, want 200: %s", got.Status, got.Body)
	}
}

// The kubelet replaces the link ..data, and then adds and removes the links that lead through it.
func TestCallersInProjectedVolume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	swap := func(version string, files map[string]string) {
		t.Helper()
		for file, content := range files {
			path := filepath.Join(dir, version, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before, _ := os.Readlink(filepath.Join(dir, "..data"))
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		for _, caller := range []string{"shop", "erp"} {
			_ = os.Symlink("..data/"+caller, filepath.Join(dir, caller)) // it may exist
			if _, err := os.Stat(filepath.Join(dir, caller)); err != nil {
				_ = os.Remove(filepath.Join(dir, caller)) // its Secret was deleted
			}
		}
		if before != "" {
			_ = os.RemoveAll(filepath.Join(dir, before))
		}
	}
	swap("..1", map[string]string{"shop/key": "shop-key", "shop/allow": "GET /channels"})
	b, _ := startWithCallers(t, dir)
	status := func(key string) int { return getWithKey(t, b.URL+"/channels", key).Status }
	if status("shop-key") != http.StatusOK || status("erp-key") != http.StatusUnauthorized {
		t.Error("at first: want shop only")
	}
	swap("..2", map[string]string{"shop/key": "shop-key\nshop-key-2", "shop/allow": "GET /channels", "erp/key": "erp-key"})
	brokertest.Eventually(t, "an added Secret and an added key are used", func() bool { return status("erp-key") == http.StatusOK && status("shop-key-2") == http.StatusOK })
	if status("shop-key") != http.StatusOK {
		t.Error("got a refusal with the first key, want 200")
	}
	if got := getWithKey(t, b.URL+"/reviews", "shop-key").Status; got != http.StatusForbidden {
		t.Errorf("got status %d for what allow does not include, want 403", got)
	}
	swap("..3", map[string]string{"erp/key": "erp-key"})
	brokertest.Eventually(t, "the deleted Secret's caller is refused", func() bool {
		return status("shop-key") == http.StatusUnauthorized && status("shop-key-2") == http.StatusUnauthorized
	})
	if status("erp-key") != http.StatusOK {
		t.Error("got a refusal of the other caller, want 200")
	}
	swap("..4", map[string]string{"other": ""})
	brokertest.Eventually(t, "without any Secret, all are refused", func() bool { return status("erp-key") == http.StatusUnauthorized })
}

// A connection that a certificate or a user identifies is not of use to anyone once its caller is removed.
func TestClosesConnectionOfRemovedCallerAfterRequestInFlight(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says which user is at the other end of a Unix socket")
	}
	arrived, release := make(chan bool, 1), make(chan bool)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			arrived <- true
			<-release
			return
		}
		eTrusted.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "broker.sock")
	addFiles(t, dir, "local", "uid", fmt.Sprint(os.Getuid()))
	b := startBroker(t, nil, brokertest.Environ(api.URL, "BROKER_LISTEN=unix://"+socket, "BROKER_CALLERS_DIR="+dir, "BROKER_ACCESS_LOG=true"))
	b.WaitReady()
	dial := func() *brokertest.RawConn {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(brokertest.Timeout))
		return brokertest.NewRawConn(conn)
	}
	conn := dial()
	checkServed(t, conn, "any", "as the caller's user")
	conn.Send("GET /slow HTTP/1.1\r\nHost: any\r\n\r\n")
	<-arrived
	if err := os.RemoveAll(filepath.Join(dir, "local")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the broker removes the caller", func() bool { return len(b.Logs.Lines("caller removed")) == 1 })
	close(release)
	response, err := http.ReadResponse(conn.Reader, nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the request in flight: got %v, %v, want status 200", response, err)
	}
	for err == nil {
		_, err = response.Body.Read(make([]byte, 512))
	}
	if _, err := conn.Reader.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("after the request in flight: got %v, want the connection closed", err)
	}
	if got := dial().Get("/channels", "any"); got.Status != 401 {
		t.Errorf("on a new connection: got status %d, want 401", got.Status)
	}
	if got := brokertest.Get(t, b.Admin+"/status.json").Body; strings.Contains(got, "/slow") {
		t.Errorf("got the removed caller's operation in %s, want none of it", got)
	}
}

func TestClosesTunnelOfRemovedCaller(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	target := strings.TrimPrefix(other.URL, "http://")
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "shop-key\nshop-key-2")
	addFiles(t, dir, "erp", "key", "erp-key")
	b, _ := startWithCallers(t, dir, "BROKER_PASS_HOSTS="+target)
	open := func(key string) *brokertest.RawConn {
		conn := b.Dial(t)
		if got := conn.Connect(target, "Proxy-Authorization: Bearer "+key); got.Status != http.StatusOK {
			t.Fatalf("CONNECT: got status %d, %v, want 200", got.Status, got.Err)
		}
		return conn
	}
	first, second, steady := open("shop-key"), open("shop-key-2"), open("erp-key")
	brokertest.ReplaceFile(t, filepath.Join(dir, "shop", "key"), []byte("shop-key-2"))
	if _, err := first.Reader.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("with the removed key: got %v, want the tunnel closed", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "shop")); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Reader.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("with the key of a removed caller: got %v, want the tunnel closed", err)
	}
	if got := steady.Get("/", target); got.Status != http.StatusNotFound {
		t.Errorf("of another caller: got %+v, want the response of the other host", got)
	}
}
