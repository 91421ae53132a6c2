package callers_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/callers"
	"etrusted-broker/proxy/access"
)

// directory is a directory of callers in a test.
type directory struct {
	*testing.T
	path string
}

func newDirectory(t *testing.T) directory { return directory{t, t.TempDir()} }

// write writes a file that has settled, in a directory that has settled: NAME/FILE.
func (d directory) write(file, content string) {
	d.Helper()
	path := filepath.Join(d.path, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		d.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		d.Fatal(err)
	}
	d.settle(file)
	d.settle(filepath.Dir(file))
}

// settle makes a file or a directory one that was changed a minute ago.
func (d directory) settle(file string) {
	d.Helper()
	settled := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(d.path, file), settled, settled); err != nil {
		d.Fatal(err)
	}
}

func (d directory) remove(file string) {
	d.Helper()
	if err := os.RemoveAll(filepath.Join(d.path, file)); err != nil {
		d.Fatal(err)
	}
}

var everything = callers.AcceptedCredentials{Certificates: true, Users: true}

func (d directory) open() (*callers.Directory, callers.Reading) {
	d.Helper()
	opened, reading, err := callers.Open(d.path, everything)
	if err != nil {
		d.Fatal(err)
	}
	return opened, reading
}

func read(t *testing.T, d *callers.Directory) callers.Reading {
	t.Helper()
	reading, err := d.Read()
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// withKey returns the name of the caller with a key; empty without one.
func withKey(reading callers.Reading, key string) string {
	if caller := access.NewCallers(reading.Callers...).WithKey(key); caller != nil {
		return caller.Name
	}
	return ""
}

func TestReadsCallers(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "\ufefffirst\r\n\nsecond\n")
	d.write("shop/allow", "GET /reviews/, POST /events\nGET /channels\n")
	d.write("shop/accounts", "shop-de\nshop-at, default\nshop-at\n")
	d.write("shop/expires", "2027-01-31T00:00:00+01:00\n")
	d.write("erp/certificate", "dns:ERP.example.\nuri:spiffe://example/erp\nsha256:"+strings.Repeat("AB:", 31)+"ab\n")
	d.write("cron/uid", "1000\n 33 \n")
	d.write("cron/key", "third")
	d.write(".hidden/key", "hidden")
	d.write("a-file", "")
	_, reading := d.open()
	if len(reading.Problems) > 0 || len(reading.Callers) != 3 {
		t.Fatalf("got %d callers and the problems %q, want 3 and none", len(reading.Callers), reading.Problems)
	}
	cron, erp, shop := reading.Callers[0], reading.Callers[1], reading.Callers[2]
	for key, want := range map[string]string{"first": "shop", "second": "shop", "third": "cron", "hidden": "", "": "", "first\r": ""} {
		if got := withKey(reading, key); got != want {
			t.Errorf("the key %q: got caller %q, want %q", key, got, want)
		}
	}
	if want := []string{"uid:1000", "uid:33"}; !slices.Equal(cron.Identities, want) || cron.Name != "cron" {
		t.Errorf("got %s with %q, want cron with %q", cron.Name, cron.Identities, want)
	}
	if want := []string{"dns:erp.example", "uri:spiffe://example/erp", "sha256:" + strings.Repeat("ab", 32)}; !slices.Equal(erp.Identities, want) {
		t.Errorf("got %q, want %q", erp.Identities, want)
	}
	if want := []string{"shop-de", "shop-at", "default"}; !slices.Equal(shop.Accounts, want) {
		t.Errorf("got accounts %q, want %q", shop.Accounts, want)
	}
	if want := []string{"default"}; !slices.Equal(erp.Accounts, want) || erp.AllowList != nil || !erp.Expires.IsZero() {
		t.Errorf("without files: got accounts %q, rules %v, expiry %v, want only the default account", erp.Accounts, erp.AllowList, erp.Expires)
	}
	if !shop.AllowList.Allowed("POST", "/events") || !shop.AllowList.Allowed("GET", "/channels") || shop.AllowList.Allowed("GET", "/events") {
		t.Error("got other rules than those in allow")
	}
	if want := time.Date(2027, 1, 30, 23, 0, 0, 0, time.UTC); !shop.Expires.Equal(want) {
		t.Errorf("got expiry %v, want %v", shop.Expires, want)
	}
}

// What cannot be used never means that everything is allowed.
func TestInvalidFileKeepsItsLastValidContent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ file, valid, problem string }{
		{"key", "key-1", "key"},
		{"allow", "GET /channels", "allow"},
		{"accounts", "shop-de", "accounts"},
		{"expires", "2027-01-31T00:00:00Z", "expires"},
		{"certificate", "dns:shop.example", "certificate"},
		{"uid", "1000", "uid"},
	} {
		for _, invalid := range []string{"", "\n \r\n", "\x00", "\xff", ",", " , \n,", strings.Repeat("x", 65<<10), " In valid ", "*", "\t"} {
			if test.file == "key" && (invalid == "," || invalid == " , \n," || invalid == "*") {
				continue // valid keys, or none that a list has
			}
			d := newDirectory(t)
			d.write("shop/key", "key-1")
			d.write("shop/"+test.file, invalid)
			if _, reading := d.open(); len(reading.Callers) != 0 || len(reading.Problems) == 0 {
				t.Errorf("%s %.20q at first: got %d callers and the problems %q, want none and a problem", test.file, invalid, len(reading.Callers), reading.Problems)
			}
			d.write("shop/"+test.file, test.valid)
			opened, before := d.open()
			d.write("shop/"+test.file, invalid)
			after := read(t, opened)
			if len(after.Callers) != 1 || len(after.Problems) != 1 || !strings.Contains(after.Problems[0], test.problem) || !strings.Contains(after.Problems[0], "stays in use") {
				t.Errorf("%s %.20q later: got %d callers and the problems %q, want one of each", test.file, invalid, len(after.Callers), after.Problems)
				continue
			}
			was, is := before.Callers[0], after.Callers[0]
			if !slices.Equal(was.Accounts, is.Accounts) || !slices.Equal(was.Identities, is.Identities) || !was.Expires.Equal(is.Expires) || was.AllowList != is.AllowList || withKey(after, "key-1") != "shop" {
				t.Errorf("%s %.20q later: got %+v, want %+v", test.file, invalid, is, was)
			}
			if problem := after.Problems[0]; len(invalid) > 8 && strings.Contains(problem, invalid[:8]) {
				t.Errorf("got %q, want nothing of the file in it", problem)
			}
		}
	}
}

func TestRemovalTakesEffect(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "one\ntwo")
	d.write("shop/allow", "GET /channels")
	d.write("erp/key", "three")
	opened, _ := d.open()
	d.write("shop/key", "two")
	d.remove("shop/allow")
	d.settle("shop")
	d.remove("erp")
	reading := read(t, opened)
	if withKey(reading, "one") != "" || withKey(reading, "two") != "shop" || withKey(reading, "three") != "" {
		t.Error("got a removed key, want only the one that is left")
	}
	if reading.Callers[0].AllowList != nil {
		t.Error("got rules after the file allow was removed, want none")
	}
	d.remove("shop/key")
	if reading = read(t, opened); len(reading.Callers) != 0 || len(reading.Problems) != 1 {
		t.Errorf("without its key: got %d callers and the problems %q, want none and one", len(reading.Callers), reading.Problems)
	}
}

func TestRefusesInvalidLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ file, content string }{
		{"key", " key"}, {"key", "key\u00a0"},
		{"expires", "2027-01-31T00:00:00Z\n2028-01-31T00:00:00Z"}, {"expires", "2027-01-31"}, {"expires", "never"}, {"expires", "0001-01-01T00:00:00Z"},
		{"certificate", "dns:*.example"}, {"certificate", "dns:a.example b.example"}, {"certificate", "dns:"}, {"certificate", "uri:example"},
		{"certificate", "sha256:" + strings.Repeat("g", 64)}, {"certificate", "sha256:ab"}, {"certificate", "email:a@example"}, {"certificate", "dns:a.example\nb.example"},
		{"uid", "0x10"}, {"uid", "-1"}, {"uid", "4294967296"}, {"uid", "root"}, {"uid", "65534"}, {"uid", "1000\n065534"}, {"uid", "1 2"},
		{"accounts", "Shop"}, {"accounts", "*"}, {"allow", "GET"},
	} {
		d := newDirectory(t)
		d.write("shop/key", "key")
		d.write("shop/"+test.file, test.content)
		if _, reading := d.open(); len(reading.Callers) != 0 || len(reading.Problems) != 1 {
			t.Errorf("%s %q: got %d callers and the problems %q, want none and one", test.file, test.content, len(reading.Callers), reading.Problems)
		}
	}
}

// One file with valid content must not make up for another that never had any.
func TestEachInvalidFileCounts(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "key")
	d.write("shop/accounts", "shop-de")
	opened, _ := d.open()
	d.write("shop/allow", "")
	d.write("shop/accounts", "")
	if reading := read(t, opened); len(reading.Callers) != 0 || len(reading.Problems) != 2 {
		t.Errorf("got %d callers and the problems %q, want none and two", len(reading.Callers), reading.Problems)
	}
}

func TestRepeatedLineIsNoConflict(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "key\nkey")
	d.write("shop/uid", "1\n01")
	opened, reading := d.open()
	if again := read(t, opened); withKey(reading, "key") != "shop" || withKey(again, "key") != "shop" || len(again.Problems) > 0 {
		t.Errorf("got the problems %q, want the caller shop", again.Problems)
	}
}

func TestCallersHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	for file, content := range map[string]string{"key": "same", "certificate": "dns:same.example", "uid": "1000"} {
		d := newDirectory(t)
		d.write("a/"+file, content)
		d.write("b/"+file, content)
		if _, _, err := callers.Open(d.path, everything); err == nil || !strings.Contains(err.Error(), `"a" and "b"`) || strings.Contains(err.Error(), content) {
			t.Errorf("%s: got %v, want an error that names both callers, and not what they share", file, err)
		}
		d.remove("b")
		opened, _ := d.open()
		d.write("b/"+file, content)
		reading := read(t, opened)
		if len(reading.Callers) != 1 || reading.Callers[0].Name != "a" || len(reading.Problems) == 0 {
			t.Errorf("%s: got %d callers and the problems %q, want a only", file, len(reading.Callers), reading.Problems)
		}
	}
}

func TestChangedFileIsRefusedIfItRepeatsAKey(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("a/key", "a1\na2")
	d.write("b/key", "b1")
	d.write("c/key", "c1")
	opened, _ := d.open()
	d.write("a/key", "a3\nb1") // a keeps a1 and a2
	d.write("c/key", "a1")     // and so c cannot have a1
	reading := read(t, opened)
	for key, want := range map[string]string{"a1": "a", "a2": "a", "a3": "", "b1": "b", "c1": "c"} {
		if got := withKey(reading, key); got != want {
			t.Errorf("the key %s: got caller %q, want %q", key, got, want)
		}
	}
	d.write("a/key", "b1")
	d.write("b/key", "a1") // an exchange is no conflict
	d.write("c/key", "c1")
	reading = read(t, opened)
	if withKey(reading, "b1") != "a" || withKey(reading, "a1") != "b" || len(reading.Problems) > 0 {
		t.Errorf("after an exchange: got the problems %q, want both keys exchanged", reading.Problems)
	}
}

// The mistake of one must not keep another from revoking its own credentials.
func TestOnlyTheFileThatRepeatsAKeyIsRefused(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("a/key", "a1")
	d.write("a/certificate", "dns:old.example\ndns:new.example")
	d.write("a/uid", "1\n2")
	d.write("b/key", "b1\nb2")
	d.write("b/uid", "3\n4")
	opened, _ := d.open()
	d.write("a/key", "b2")
	d.write("a/certificate", "dns:new.example")
	d.write("b/key", "b2")
	reading := read(t, opened)
	for key, want := range map[string]string{"a1": "a", "b1": "", "b2": "b"} {
		if got := withKey(reading, key); got != want {
			t.Errorf("the key %s: got caller %q, want %q", key, got, want)
		}
	}
	if want := []string{"dns:new.example", "uid:1", "uid:2"}; !slices.Equal(reading.Callers[0].Identities, want) {
		t.Errorf("got %q, want %q: the certificate is not in the file that repeats a key", reading.Callers[0].Identities, want)
	}
	if len(reading.Problems) != 1 || !strings.Contains(reading.Problems[0], `the change of "a"`) {
		t.Errorf("got the problems %q, want one: the change of a", reading.Problems)
	}
	d.write("a/key", "a2")
	d.write("a/uid", "4")
	d.write("b/uid", "4")
	if reading := read(t, opened); withKey(reading, "a2") != "a" || !slices.Contains(reading.Callers[0].Identities, "uid:1") || !slices.Equal(reading.Callers[1].Identities, []string{"uid:4"}) {
		t.Errorf("got %q and %q, want the uids before of a only", reading.Callers[0].Identities, reading.Callers[1].Identities)
	}
	d.write("a/uid", "1")
	d.write("a/certificate", "dns:new.example\ndns:same.example")
	d.write("b/certificate", "dns:same.example")
	if reading := read(t, opened); !slices.Equal(reading.Callers[0].Identities, []string{"dns:new.example", "uid:1"}) || !slices.Equal(reading.Callers[1].Identities, []string{"uid:4"}) {
		t.Errorf("got %q and %q, want neither with a name that both have got", reading.Callers[0].Identities, reading.Callers[1].Identities)
	}
}

// Some editors move a file away before they write it again, and a directory is removed file by file.
func TestRestrictionIsMissingOnlyOnceItsDirectoryHasSettled(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "key\nkey-2")
	for file, content := range map[string]string{"allow": "GET /channels", "accounts": "shop-de", "expires": "2027-01-31T00:00:00Z"} {
		d.write("shop/"+file, content)
	}
	opened, before := d.open()
	for _, file := range []string{"allow", "accounts", "expires"} {
		d.remove("shop/" + file)
	}
	d.write("shop/key", "key")
	if err := os.Chtimes(filepath.Join(d.path, "shop"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	reading := read(t, opened)
	if was, is := before.Callers[0], reading.Callers[0]; was.AllowList != is.AllowList || !slices.Equal(was.Accounts, is.Accounts) || !was.Expires.Equal(is.Expires) || len(reading.Problems) > 0 {
		t.Errorf("at first: got %+v and the problems %q, want %+v", is, reading.Problems, was)
	}
	if withKey(reading, "key-2") != "" {
		t.Error("at first: got a key that was removed, want none")
	}
	d.settle("shop")
	reading = read(t, opened)
	if is := reading.Callers[0]; is.AllowList != nil || !slices.Equal(is.Accounts, []string{"default"}) || !is.Expires.IsZero() {
		t.Errorf("later: got %+v, want no restrictions", is)
	}
	d.remove("shop/key")
	if reading := read(t, opened); len(reading.Callers) > 0 {
		t.Error("without its key: got the caller at once, want none")
	}

	if err := os.Mkdir(filepath.Join(d.path, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.write("new/key", "new-key")
	if err := os.Chtimes(filepath.Join(d.path, "new"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if reading := read(t, opened); withKey(reading, "new-key") != "" {
		t.Error("got a new caller before its directory has settled, want none")
	}
	d.settle("new")
	if reading := read(t, opened); withKey(reading, "new-key") != "new" {
		t.Error("got no new caller after its directory has settled, want it")
	}
}

// Without access to a directory, a file that is missing looks like one that cannot be read.
func TestCallerStaysWhileItsDirectoryCannotBeRead(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "key")
	opened, _ := d.open()
	if err := os.Rename(filepath.Join(d.path, "shop"), filepath.Join(d.path, ".away")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop", "new"} { // a link to itself: root may read all directories
		if err := os.Symlink(name, filepath.Join(d.path, name)); err != nil {
			t.Skip(err)
		}
	}
	reading := read(t, opened)
	if withKey(reading, "key") != "shop" || len(reading.Callers) != 1 || len(reading.Problems) != 2 || !strings.Contains(reading.Problems[1], "the caller stays as it was") {
		t.Errorf("got %d callers and the problems %q, want shop as it was, and not the new caller", len(reading.Callers), reading.Problems)
	}
	d.remove("shop")
	if reading := read(t, opened); len(reading.Callers) != 0 {
		t.Errorf("after the removal: got %d callers, want none", len(reading.Callers))
	}
}

// A file that is written in two steps has half of a key in it for a while, which is easier to find.
func TestWaitsUntilFilesHaveSettled(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "whole-key")
	opened, _ := d.open()
	write := func(content string) {
		if err := os.WriteFile(filepath.Join(d.path, "shop/key"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("half")
	if reading := read(t, opened); withKey(reading, "half") != "" || withKey(reading, "whole-key") != "shop" || len(reading.Problems) > 0 {
		t.Error("got half of a key, want the one before")
	}
	if _, reading := d.open(); withKey(reading, "half") != "shop" {
		t.Error("at the start: got no caller, want the one in a file that was just written")
	}
	if err := os.MkdirAll(filepath.Join(d.path, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.path, "new/allow"), []byte("GET /"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.write("new/key", "new-key")
	if reading := read(t, opened); withKey(reading, "new-key") != "" {
		t.Error("got a caller before its allow list has settled, want none")
	}
}

// The file certificate has what the certificate says, in the form in which openssl and browsers show it.
func TestCertificateIdentifiesCallers(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256([]byte("certificate"))
	fingerprint := strings.TrimSuffix(strings.ReplaceAll(fmt.Sprintf("% X", digest[:]), " ", ":"), ":")
	uri, err := url.Parse("spiffe://example/Shop?x=%2f")
	if err != nil {
		t.Fatal(err)
	}
	certificate := &x509.Certificate{Raw: []byte("certificate"), Subject: pkix.Name{CommonName: "name.example"}, DNSNames: []string{"WWW.example.", "shop.example"}, URIs: []*url.URL{uri}}
	for line, want := range map[string]bool{
		"dns:www.example": true, "dns:Shop.Example.": true, "uri:spiffe://example/Shop?x=%2f": true, "sha256:" + fingerprint: true, "sha256:" + strings.ToLower(strings.ReplaceAll(fingerprint, ":", "")): true,
		"dns:name.example": false, "dns:example": false, "uri:spiffe://example/shop?x=%2f": false, "uri:spiffe://example/Shop": false, "sha256:" + strings.Repeat("00", 32): false,
	} {
		d := newDirectory(t)
		d.write("shop/certificate", line)
		_, reading := d.open()
		if got := access.NewCallers(reading.Callers...).HasAnyIdentity(callers.CertificateIdentities(certificate)); got != want {
			t.Errorf("%s: got %t, want %t", line, got, want)
		}
	}
}

func TestUnreadableDirectoryIsAnError(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("shop/key", "key")
	opened, _ := d.open()
	if err := os.Rename(d.path, d.path+"-away"); err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Read(); err == nil {
		t.Error("got no error, want one")
	}
	if _, _, err := callers.Open(d.path, everything); err == nil {
		t.Error("Open: got no error, want one")
	}
}

func TestNeedsWhatIdentifiesCallers(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	d.write("cert/certificate", "dns:a.example")
	d.write("user/uid", "1000")
	d.write("none/allow", "GET /")
	d.write("Upper/key", "key")
	_, reading, err := callers.Open(d.path, callers.AcceptedCredentials{})
	if err != nil || len(reading.Callers) != 0 || len(reading.Problems) < 4 {
		t.Fatalf("got %v, %d callers, the problems %q, want no callers and four problems", err, len(reading.Callers), reading.Problems)
	}
	for _, want := range []string{"BROKER_TLS_CLIENT_CA_FILE", "only on Linux", "no file key, certificate or uid", "not a valid name"} {
		if !strings.Contains(strings.Join(reading.Problems, "\n"), want) {
			t.Errorf("got the problems %q, want %q among them", reading.Problems, want)
		}
	}
}
