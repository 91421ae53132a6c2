package localca_test

import (
	"path/filepath"
	"slices"
	"testing"

	"etrusted-broker/proxy/localca"
)

const (
	qaAPI   = "api.etrusted.site"
	qaLogin = "login-qa.etrusted.com"
)

func openForAccounts(t *testing.T, dir string, more ...string) *localca.CA {
	t.Helper()
	a, err := localca.OpenOrCreateForAccounts(dir, both, more)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A new CA is for the hosts of all accounts. It signs for them while there are such accounts.
func TestSignsForHostsOfAccounts(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	openForAccounts(t, dir, qaAPI, qaLogin+":8443", "127.0.0.1:9000")
	a := openForAccounts(t, dir) // without these accounts
	allows := func() []bool {
		return []bool{a.AllowsHost(api + ":443"), a.AllowsHost(qaAPI + ":443"), a.AllowsHost(qaLogin + ":8443"), a.AllowsHost("127.0.0.1:9000")}
	}
	if got := allows(); !slices.Equal(got, []bool{true, false, false, false}) {
		t.Errorf("at first: allowed %v, want only the first", got)
	}
	if refused := a.SetHosts(append(both, qaAPI, qaLogin+":8443", "127.0.0.1:9000")); refused != nil {
		t.Errorf("got %v refused, want none", refused)
	}
	if got := allows(); !slices.Equal(got, []bool{true, true, true, true}) {
		t.Errorf("with the accounts: allowed %v, want all", got)
	}
	for _, host := range []string{api, qaAPI} {
		if s := shake(a.TLSConfig(host+":443"), trusting(t, a, host)); s.err() != nil {
			t.Errorf("%s: %v", host, s.err())
		}
	}
	if s := shake(a.ServerNameTLS(), trusting(t, a, qaAPI)); s.err() != nil {
		t.Errorf("%s by its name: %v", qaAPI, s.err())
	}
	a.SetHosts(both)
	if got := allows(); !slices.Equal(got, []bool{true, false, false, false}) {
		t.Errorf("after them: allowed %v, want only the first", got)
	}
	if s := shake(a.ServerNameTLS(), trusting(t, a, qaAPI)); s.err() == nil {
		t.Errorf("%s by its name: got a certificate after the account was removed", qaAPI)
	}
}

// A host that the CA's certificate does not permit is left out: an app would refuse its certificate.
func TestRefusesHostsOutsideItsConstraints(t *testing.T) {
	t.Parallel()
	a := openForAccounts(t, inMemory(t), qaAPI)
	refused := a.SetHosts(append(both, qaAPI, qaLogin, "a."+api, "etrusted.com:443", "127.0.0.1", "no host"))
	if want := []string{qaLogin, "a." + api, "etrusted.com:443", "127.0.0.1"}; !slices.Equal(refused, want) {
		t.Errorf("got %q refused, want %q", refused, want)
	}
	for host, want := range map[string]bool{api: true, login: true, qaAPI: true, qaLogin: false, "a." + api: false, "etrusted.com": false} {
		if got := a.AllowsHost(host + ":443"); got != want {
			t.Errorf("AllowsHost(%s:443): got %t, want %t", host, got, want)
		}
	}
}

// Without accounts, the CA must be for exactly the hosts. With accounts, it must be for the broker's at least, and of the form that
// the broker creates.
func TestCAOfAccountsMustPermitTheBrokersHosts(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	openForAccounts(t, dir, qaAPI)
	checkRejected(t, dir, both, filepath.Join(dir, "ca.key")+" ", "is for api.etrusted.com, api.etrusted.site, login.etrusted.com, but the configured hosts are api.etrusted.com, login.etrusted.com: ")
	if _, err := localca.OpenOrCreateForAccounts(dir, []string{api, qaLogin}, []string{qaAPI}); err == nil {
		t.Error("got a CA that is not for the login server, want an error")
	}
	if _, err := localca.OpenOrCreateForAccounts(dir, both, []string{"no host"}); err == nil {
		t.Error("got a CA for an invalid host, want an error")
	}
}
