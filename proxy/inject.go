package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// authorization returns the value of the one Authorization header that goes upstream. Where there is no token it
// waits for one, as long as the configuration allows and the client stays.
func (p *Proxy) authorization(ctx context.Context) (string, *problem) {
	if value, ok := p.config.Tokens.Current(); ok {
		return value, nil
	}
	waiting, cancel := context.WithTimeout(ctx, p.config.TokenWait)
	defer cancel()
	value, err := p.config.Tokens.Await(waiting)
	switch {
	case err == nil:
		return value, nil
	case ctx.Err() != nil:
		return "", clientGone
	default:
		return "", noToken(err)
	}
}

func noToken(err error) *problem {
	p := problem{
		status:     http.StatusServiceUnavailable,
		name:       "no-token",
		title:      "There is no valid access token",
		errorType:  "destination_unavailable",
		what:       "there is no valid access token",
		retryAfter: time.Second,
	}
	var told NoToken
	if !errors.As(err, &told) {
		return &p
	}
	p.what, p.advice, p.retryAfter = told.Error(), told.Advice(), told.RetryAfter()
	if told.Rejected() {
		p.name, p.title, p.errorType = "credentials-rejected", "The credentials are rejected", "proxy_configuration_error"
	}
	return &p
}
