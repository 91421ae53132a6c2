package server

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
)

func TestChainExpiresWithItsFirstCertificate(t *testing.T) {
	t.Parallel()
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	chain := func(days ...int) (all []*x509.Certificate) {
		for _, n := range days {
			all = append(all, &x509.Certificate{NotAfter: epoch.AddDate(0, 0, n)})
		}
		return all
	}
	for name, chain := range map[string][]*x509.Certificate{"client": chain(1, 2, 3), "intermediate": chain(3, 1, 2), "CA": chain(3, 2, 1)} {
		if got, want := earliestExpiry(chain), epoch.AddDate(0, 0, 1); !got.Equal(want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestVerifiesTheClientCertificateUntilItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		servers, apps := brokertest.NewCA(t, "servers"), brokertest.NewCA(t, "apps")
		clientEnd, serverEnd := net.Pipe()
		server := tls.Server(serverEnd, &tls.Config{Certificates: servers.ClientCertificate("broker"), ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: brokertest.CertPool(apps)})
		client := tls.Client(clientEnd, &tls.Config{RootCAs: brokertest.CertPool(servers), Certificates: apps.ClientCertificate("app"), ServerName: "localhost"})
		go func() { _ = client.Handshake() }()
		if err := server.Handshake(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = clientEnd.Close(), serverEnd.Close() }()
		presented := &clientTLSConn{Conn: server}
		pool := brokertest.CertPool(apps)
		for _, test := range []struct {
			after   time.Duration // the previous case
			trusted *x509.CertPool
			want    bool
		}{
			{0, pool, true},
			{30 * time.Minute, pool, true},
			{0, brokertest.CertPool(servers), false},
			{0, brokertest.CertPool(apps, servers), true},
			{29 * time.Minute, pool, true},
			{2 * time.Minute, pool, false},
		} {
			time.Sleep(test.after)
			if got := presented.verifyCertificate(test.trusted); got != test.want {
				t.Errorf("%v after the handshake: got trusted %t, want %t", time.Since(presented.ConnectionState().PeerCertificates[0].NotBefore)-time.Hour, got, test.want)
			}
		}
	})
}
