package server

import (
	"net/http"
	"time"

	"go.uber.org/zap"
)

// slowLoginThreshold is how long a token request is unanswered before that is logged: its timeout comes only after half a minute, and until
// then the log would not say why apps wait.
const slowLoginThreshold = 5 * time.Second

// slowLoginTransport sends token requests, and logs if one has no answer for long: once a minute, because while there is no answer,
// there is a new request every 5 s. It is safe for concurrent use.
type slowLoginTransport struct {
	http.RoundTripper
	log    *zap.Logger
	minute minuteLog
}

// RoundTrip implements http.RoundTripper.
func (w *slowLoginTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	timer := time.AfterFunc(slowLoginThreshold, w.warnSlow)
	defer timer.Stop()
	return w.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections is for http.Client, which does not look for it in an embedded interface.
func (w *slowLoginTransport) CloseIdleConnections() {
	(&http.Client{Transport: w.RoundTripper}).CloseIdleConnections()
}

func (w *slowLoginTransport) warnSlow() {
	if w.minute.allow() {
		w.log.Warn("the login server has not answered a token request for 5 s; the broker waits up to 29 s, and asks again meanwhile if there is no token",
			zap.String("hint", "If this lasts, check the eTrusted status page and this machine's connection to the login server."))
	}
}
