package soak

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"

	"etrusted-broker/bench/proc"
)

// store is a Redis server.
type store struct {
	path, dir, address, password string
	group                        *proc.Group
}

// errNoStore means that redis-server is not installed.
var errNoStore = errors.New("redis-server is not installed")

func startStore(ctx context.Context, dir, password string) (*store, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoStore
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &store{path: path, dir: dir, address: listener.Addr().String(), password: password}
	if err := errors.Join(listener.Close(), s.start()); err != nil {
		return nil, err
	}
	for {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			return s, conn.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.group.Exited():
			return nil, fmt.Errorf("redis-server has exited; its output:\n%s", s.group.Log())
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		}
	}
}

// url returns the value of BROKER_TOKEN_STORE.
func (s *store) url() string { return "redis://:" + s.password + "@" + s.address }

// start starts the server, without data.
func (s *store) start() (err error) {
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	s.group, err = proc.Start(proc.Command{
		Path: s.path, Dir: s.dir,
		Args: []string{"--bind", host, "--port", port, "--requirepass", s.password, "--save", "", "--appendonly", "no"},
	})
	return err
}

// kill ends the server without a farewell.
func (s *store) kill() {
	s.group.Signal(syscall.SIGKILL)
	<-s.group.Exited()
}

func (s *store) stop() { s.group.Stop() }
