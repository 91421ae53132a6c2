package redisstore_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// wantShared fails unless two brokers share a token through a store, and one is notified of it.
func wantShared(t *testing.T, url string) {
	t.Helper()
	a, b := newBroker(t, url), newBroker(t, url)
	var notified atomic.Int32
	leader := a.entry()
	follower := b.Entry(credentials(clientID, clientSecret), endpoint, func() { notified.Add(1) })
	brokertest.Eventually(t, "the follower listens", func() bool { return notified.Load() > 0 })
	before := notified.Load()
	token := newToken(lead(t, leader, time.Minute))
	if get(t, follower).Lease.FencingToken == 0 {
		t.Error("got no lease, want the leader's")
	}
	put(t, leader, token)
	brokertest.Eventually(t, "the follower is notified", func() bool { return notified.Load() > before })
	wantToken(t, get(t, follower).Token, token)
	for _, problems := range [][]string{a.problems.all(), b.problems.all()} {
		if len(problems) > 0 {
			t.Errorf("got the problems %q, want none", problems)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	wantShared(t, start(t).url)
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	s := startTCP(t)
	wantShared(t, s.url+"/3")
	if len(s.keys("")) > 0 {
		t.Error("database 0 was used")
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := make([]*server, 3)
	for i := range nodes {
		nodes[i] = startTCP(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", portOf(brokertest.ClosedPort(t)))
		nodes[i].do("CLUSTER", "ADDSLOTSRANGE", i*5462, min(i*5462+5461, 16383))
		nodes[i].do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	for _, node := range nodes[1:] {
		bus := strings.Split(strings.Split(node.do("CLUSTER", "NODES").(string), "@")[1], " ")[0]
		nodes[0].do("CLUSTER", "MEET", "127.0.0.1", portOf(node.address), bus)
	}
	brokertest.Eventually(t, "the cluster is complete", func() bool {
		for _, node := range nodes {
			info := node.do("CLUSTER", "INFO").(string)
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	url := nodes[0].url + "?addr=" + nodes[1].address
	wantShared(t, url)

	// A pair for each node, whatever its name is.
	b := newBroker(t, url)
	for i := range 20 {
		e := b.Entry(credentials(fmt.Sprint(i), clientSecret), endpoint, func() {})
		put(t, e, newToken(lead(t, e, time.Minute)))
	}
	for i, node := range nodes {
		if len(node.keys(":token")) == 0 {
			t.Errorf("node %d has none of 20", i)
		}
	}

	// With but one address, it is taken for a server.
	_, err := newBroker(t, nodes[0].url).entry().Get(context.Background())
	_, err2 := newBroker(t, nodes[1].url).entry().Get(context.Background())
	if err == nil {
		err = err2
	}
	if err == nil || err.Error() != "is a node of a Cluster: name another one too, as addr=HOST:PORT" {
		t.Errorf("%v", err)
	}

	// A Cluster needs no other rules than a server.
	for _, node := range nodes {
		node.allow(rules)
		node.do("ACL", "LOG", "RESET")
	}
	limited := nodes[0].withUser("broker", "pass word/@:%") + "?addr=" + nodes[1].address
	if _, err := newBroker(t, limited).entry().Get(context.Background()); err != nil {
		t.Error(err)
	}
	for _, node := range nodes {
		if log := node.do("ACL", "LOG").([]any); len(log) > 0 {
			t.Errorf("what was refused: %v", log)
		}
	}
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	primary := startTCP(t, "--requirepass", "of-the-servers", "--repl-diskless-sync-delay", "0")
	port := portOf(primary.address)
	replica := startTCP(t, "--replicaof", "127.0.0.1 "+port, "--masterauth", "of-the-servers", "--requirepass", "of-the-servers")
	s := prepare(t)
	s.network, s.address = "tcp", brokertest.ClosedPort(t)
	own := portOf(s.address)
	file := filepath.Join(s.dir, "sentinel.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, `bind 127.0.0.1
port %s
dir %s
logfile %s/log
requirepass of-the-sentinel
sentinel monitor shop 127.0.0.1 %s 1
sentinel auth-pass shop of-the-servers
sentinel down-after-milliseconds shop 500
sentinel failover-timeout shop 3000
`, own, s.dir, s.dir, port), 0o600); err != nil {
		t.Fatal(err)
	}
	s.process = exec.Command(s.program, file, "--sentinel")
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the sentinel answers", func() bool {
		conn, err := net.Dial(s.network, s.address)
		return err == nil && conn.Close() == nil
	})
	url := "redis://:of-the-sentinel@" + s.address + "?master_name=shop&password=of-the-servers"
	wantShared(t, url)

	for name, wrong := range map[string]struct{ url, want string }{
		"name":     {strings.Replace(url, "=shop", "=another", 1), ""},
		"server":   {strings.Replace(url, "password=of-the-servers", "password=wrong", 1), "does not accept the password: check user and password in the URL"},
		"sentinel": {strings.Replace(url, ":of-the-sentinel", ":wrong", 1), "does not accept the password: check user and password in the URL"},
	} {
		_, err := newBroker(t, wrong.url).entry().Get(context.Background())
		if err == nil || wrong.want != "" && err.Error() != wrong.want {
			t.Errorf("wrong %s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "invalid") {
			t.Errorf("wrong %s: %v", name, err)
		}
	}

	// The primary dies, and the replica takes its place.
	e := connect(t, url).entry() // it does not listen, so it does not see the interruption
	token := newToken(lead(t, e, time.Minute))
	put(t, e, token)
	replicaPort := portOf(replica.address)
	asks := func(port, password string, command ...string) string {
		args := append([]string{"-p", port, "-a", password, "--no-auth-warning"}, command...)
		out, _ := exec.Command("redis-cli", args...).Output()
		return string(out)
	}
	brokertest.Eventually(t, "the replica is known, and has it all", func() bool {
		return strings.Contains(asks(replicaPort, "of-the-servers", "KEYS", "*:token"), ":token") &&
			strings.Contains(asks(own, "of-the-sentinel", "SENTINEL", "REPLICAS", "shop"), replicaPort)
	})
	primary.kill()
	brokertest.Eventually(t, "the replica has taken over", func() bool {
		return strings.Contains(asks(own, "of-the-sentinel", "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop"), replicaPort)
	})
	wantToken(t, get(t, e).Token, token)
}

// TestTLS starts itself as a child: which authorities are trusted is read once by a process.
func TestTLS(t *testing.T) {
	if url := os.Getenv("TEST_TLS_URL"); url != "" {
		wantShared(t, url)
		_, err := newBroker(t, "rediss://0.0.0.0:"+portOf(url)).entry().Get(context.Background())
		if err == nil || !strings.Contains(err.Error(), "another host name") {
			t.Errorf("under another name than the certificate's: %v", err)
		}
		return
	}
	t.Parallel()
	authority := brokertest.NewCA(t, "test")
	certPEM, keyPEM := authority.Issue("test", time.Hour)
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, content := range map[string][]byte{ca: authority.CertificatePEM(), cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := brokertest.ClosedPort(t)
	startTCP(t, "--tls-port", portOf(address), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no")
	child := exec.Command(os.Args[0], "-test.run=^TestTLS$", "-test.v", "-test.count=1")
	child.Env = append(os.Environ(), "TEST_TLS_URL=rediss://"+address, "SSL_CERT_FILE="+ca)
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestTLS") {
		t.Errorf("trusted: %v\n%s", err, out)
	}

	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	tooOld := brokertest.ServeRaw(t, func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake()
	})
	for name, test := range map[string]struct{ url, want string }{
		"untrusted":   {"rediss://" + address, "unknown authority"},
		"without TLS": {"redis://" + address, "closed the connection"},
		"too old":     {"rediss://" + tooOld, "TLS handshake"},
		"no TLS":      {"rediss://" + startTCP(t).address, "in time"},
	} {
		// A handshake takes long where many tests run at once.
		brokertest.Eventually(t, name+": "+test.want, func() bool {
			_, err := connect(t, test.url).entry().Get(context.Background())
			return err != nil && strings.Contains(err.Error(), test.want)
		})
	}
}
