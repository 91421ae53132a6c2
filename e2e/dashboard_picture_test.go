package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The client of the demo's stand-in for eTrusted. Both open nothing.
const (
	demoClientID     = "a1b2c3d4e5f6__demo"
	demoClientSecret = "stand-in-secret-not-a-real-one"
)

// TestDashboardPicture draws ../docs/pictures/dashboard.png. It is asked for with DASHBOARD_PICTURE_AFTER=5m, or whatever
// time the brokers should have run by then.
//
// Grafana is not needed: this module draws what dashboard.json says. The data are real: a Prometheus scrapes "broker demo",
// here shop-1, and shop-2, another broker in front of the demo's stand-in for eTrusted, to which everything happens that the
// dashboard is there to show.
func TestDashboardPicture(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("DASHBOARD_PICTURE_AFTER"))
	if err != nil {
		t.Skip("DASHBOARD_PICTURE_AFTER says no time: docs/pictures/dashboard.png stays as it is")
	}
	needTool(t, "prometheus")
	needChromium(t)
	demo := startStandIn(t)
	trouble := startTrouble(t, demo.url)
	accounts := t.TempDir()
	writeAccount(t, accounts, "shop-at", demoClientID, demoClientSecret)
	world := &world{authority: newAuthority(t), login: &login{url: trouble.url}, api: &api{url: trouble.url}}
	second := world.start(t, "ETRUSTED_CLIENT_ID="+demoClientID, "ETRUSTED_CLIENT_SECRET="+demoClientSecret, "ETRUSTED_ACCOUNTS_DIR="+accounts,
		"ETRUSTED_AUDIENCE=https://api.etrusted.com", "BROKER_ALLOW=GET /channels, GET /reviews, GET /reviews/, POST /events", "BROKER_LOG_LEVEL=info",
		"BROKER_TOKEN_WAIT=1s") // or the graph of how long requests take shows nothing else
	p := startPrometheus(t, []scrapeTarget{{demo.admin, "shop-1"}, {strings.TrimPrefix(second.admin, "http://"), "shop-2"}}, "exemplar-storage")
	p.await(t, 2)

	from := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	var apps sync.WaitGroup
	apps.Go(func() { shopping(ctx, "http://"+demo.app, 90*time.Millisecond) })
	apps.Go(func() { shopping(ctx, second.app, 130*time.Millisecond) })
	apps.Go(func() { shopping(ctx, second.app+"/@shop-at", 340*time.Millisecond) })
	trouble.happen(t, length, accounts)
	v := view{dashboard: readDashboard(t), prometheus: p, from: from, to: time.Now(), step: length / 100, scrapes: time.Second}
	page, height := v.draw(t)
	cancel()
	apps.Wait()

	file := filepath.Join(t.TempDir(), "dashboard.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(filepath.Join("..", "docs", "pictures", "dashboard.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	_, exited, _ := startChromium(t, "--screenshot="+path, "--hide-scrollbars", "--disable-lcd-text",
		"--window-size="+strconv.Itoa(pictureWidth)+","+strconv.Itoa(height), "file://"+file)
	select {
	case <-exited:
	case <-time.After(time.Minute):
		t.Fatal("Chromium does not end")
	}
	if size := shrink(t, path); size > 250_000 {
		t.Errorf("%s has %d bytes", path, size)
	}
}

// shrink rewrites a picture with 256 colours: those of the graphs, however small, and those that it has most of. What is
// lost is at the edges of letters.
func shrink(t *testing.T, path string) (size int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	bounds, count := whole.Bounds(), map[color.Color]int{}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			count[whole.At(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] })
	var keep color.Palette
	for _, name := range slices.Concat(slices.Sorted(maps.Values(colors)), palette) {
		var c color.RGBA
		if _, err := fmt.Sscanf(name, "#%02x%02x%02x", &c.R, &c.G, &c.B); err != nil {
			t.Fatal(err)
		}
		c.A = 255
		if !slices.Contains(keep, color.Color(c)) {
			keep = append(keep, c)
		}
	}
	few := image.NewPaletted(bounds, append(keep, most[:min(len(most), 256-len(keep))]...))
	nearest := map[color.Color]uint8{}
	for c := range count {
		nearest[c] = uint8(few.Palette.Index(c))
	}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			few.SetColorIndex(x, y, nearest[whole.At(x, y)])
		}
	}
	var small bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&small, few); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, small.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return small.Len()
}

// standIn is a "broker demo" in a process of its own, of which another broker may use the stand-in.
type standIn struct{ app, admin, url string } // two addresses, and where the stand-in is

func startStandIn(t *testing.T) standIn {
	t.Helper()
	command := exec.Command(binary, "demo")
	command.Env = []string{"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0", "BROKER_LOG_FORMAT=json"}
	output := &syncBuffer{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	listening := regexp.MustCompile(`"msg":"listening","app":"([^"]+)","admin":"([^"]+)","api":"([^"]+)"`)
	var found []string
	eventually(t, patience, "the demo listens", func() bool {
		found = listening.FindStringSubmatch(output.String())
		return found != nil
	})
	return standIn{found[1], found[2], found[3]}
}

// shopping is what an app does all day, and what a page does that happens to be open.
func shopping(ctx context.Context, url string, pace time.Duration) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	client := &http.Client{Timeout: patience}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		method, path := http.MethodGet, "/reviews?count=10"
		switch {
		case i%23 == 7:
			path = "/reviews/rev-gone"
		case i%19 == 3:
			method, path = http.MethodPost, "/events"
		case i%3 == 0:
			path = "/channels"
		case i%120 > 112:
			path = "/invite-rules" // which shop-2 does not allow
		}
		request, err := http.NewRequestWithContext(ctx, method, url+path, strings.NewReader(`{"type":"checkout"}`))
		if err != nil {
			return
		}
		if i%50 == 0 { // as an app with tracing does
			request.Header.Set("Traceparent", fmt.Sprintf("00-%032x-%016x-01", i+1, i+1))
		}
		switch {
		case i%310 > 290:
			request.Header.Set("Origin", "https://page.example")
		case i%450 > 443:
			request.Host = "rebound.example"
		}
		if response, err := client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}
}

// trouble lies between a broker and the stand-in.
type trouble struct {
	url       string
	requests  atomic.Int64
	loginAway atomic.Bool
	apiBroken atomic.Bool
	apiSlow   atomic.Bool
	revoking  atomic.Bool  // the token that comes next
	revoked   atomic.Value // the Authorization that was it
}

func startTrouble(t *testing.T, upstream string) *trouble {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	next := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	tr := &trouble{}
	tr.revoked.Store("none")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := tr.requests.Add(1)
		login, authorization := r.URL.Path == "/oauth/token", r.Header.Get("Authorization")
		if !login && tr.revoking.CompareAndSwap(true, false) {
			tr.revoked.Store(authorization)
		}
		took := time.Duration(4+n%11*3) * time.Millisecond
		if login {
			took *= 3
		} else if tr.apiSlow.Load() {
			took += time.Duration(n%5) * 90 * time.Millisecond
		}
		time.Sleep(took)
		switch {
		case login && tr.loginAway.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case !login && authorization == tr.revoked.Load():
			w.WriteHeader(http.StatusUnauthorized)
		case !login && tr.apiBroken.Load() && n%3 == 0:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	tr.url = server.URL
	return tr
}

// happen spreads the day's mishaps over the time.
func (tr *trouble) happen(t *testing.T, length time.Duration, accounts string) {
	t.Helper()
	start := time.Now()
	for _, event := range []struct {
		at     float64 // part of the whole
		happen func()
	}{
		{0.22, func() { tr.loginAway.Store(true) }},
		{0.40, func() { tr.loginAway.Store(false) }},
		{0.56, func() { tr.revoking.Store(true) }},
		{0.62, func() { tr.apiSlow.Store(true) }},
		{0.71, func() { tr.apiSlow.Store(false) }},
		{0.76, func() { tr.apiBroken.Store(true) }},
		{0.83, func() { tr.apiBroken.Store(false) }},
		{0.86, func() { writeAccount(t, accounts, "shop-at", demoClientID, "mistyped") }},
		{0.92, func() { writeAccount(t, accounts, "shop-at", demoClientID, demoClientSecret) }},
		{1.00, func() {}},
	} {
		select {
		case <-time.After(time.Until(start.Add(time.Duration(event.at * float64(length))))):
		case <-t.Context().Done():
			t.Fatal("the test ends before its time")
		}
		event.happen()
	}
}
