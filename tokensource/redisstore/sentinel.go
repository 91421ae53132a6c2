package redisstore

import (
	"context"
	"errors"
	"net"

	"github.com/gomodule/redigo/redis"
)

// codeUnknownMaster is like a server's error code, for an empty answer of a Sentinel.
const codeUnknownMaster = "unknown-master"

// askSentinel returns the address of the primary.
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
