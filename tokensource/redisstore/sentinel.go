package redisstore

import (
	"context"
	"errors"
	"net"

	"github.com/gomodule/redigo/redis"
)

// codeUnknownMaster is like a server's error code, for an empty answer of a Sentinel.
const codeUnknownMaster = "unknown-master"

// primaryAddress asks all Sentinels at once, because some may be down, and returns the first answer.
func (o Options) primaryAddress(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers, failures := make(chan string, len(o.addresses)), make(chan error, len(o.addresses))
	for _, sentinel := range o.addresses {
		go func() {
			if address, err := o.askSentinel(ctx, sentinel); err != nil {
				failures <- err
			} else {
				answers <- address
			}
		}()
	}
	var all error
	for range o.addresses {
		select {
		case address := <-answers:
			return address, nil
		case err := <-failures:
			all = errors.Join(all, err)
		}
	}
	return "", all
}

func (o Options) askSentinel(ctx context.Context, sentinel string) (string, error) {
	conn, err := o.dial(ctx, sentinel, o.sentinel, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	answer, err := redis.Strings(redis.DoContext(conn, ctx, "SENTINEL", "get-master-addr-by-name", o.master))
	if errors.Is(err, redis.ErrNil) {
		return "", redis.Error(codeUnknownMaster)
	}
	if err == nil && len(answer) != 2 {
		err = errInvalidReply
	}
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(answer[0], answer[1]), nil
}
