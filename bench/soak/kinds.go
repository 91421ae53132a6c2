package soak

import "time"

// kind is a kind of disturbance, with what it may cost the apps.
type kind struct {
	name string
	// excuses are the outcomes that it explains. Without any, the broker promises that no request is lost.
	excuses []string
	// min and max limit how long it lasts.
	min, max time.Duration
	// delay is the time from its start until it explains anything.
	delay time.Duration
	// recovery is the documented time from its end until it no longer explains anything.
	recovery time.Duration
	// settle is how long it affects memory, goroutines and descriptors after its end.
	settle time.Duration
}

// The kinds. Each needs a function in disturbances.
const (
	apiUnavailable   = "API: 503"
	apiResets        = "API: closes connections instead of answering"
	apiMalformed     = "API: responds with the token as a malformed header"
	apiTruncates     = "API: truncates bodies"
	apiHangs         = "API: does not answer"
	apiSlow          = "API: slow"
	apiDown          = "API and login server: refuse connections"
	loginUnavailable = "login server: 503"
	loginHTML        = "login server: HTML with status 200"
	loginEchoes      = "login server: repeats the secret in errors"
	loginHangs       = "login server: does not answer"
	loginSlow        = "login server: slow"
	loginOutage      = "login server: 503 for longer than a token lives"
	loginRejects     = "login server: rejects the credentials until they change"
	tokensRevoked    = "tokens are revoked"
	rotation         = "credentials rotate"
	wrongRotation    = "wrong credentials in the files"
	storeRestarts    = "store: killed, and restarted empty"
	storeHangs       = "store: stopped, and continued"
	hangup           = "SIGHUP"
)

const (
	// tokenLifetime leaves 8 s when a refresh is due at the latest, at 80 %. So a failing login server costs no request if it
	// fails for less.
	tokenLifetime = 40 * time.Second
	// upstreamTimeout is BROKER_UPSTREAM_TIMEOUT.
	upstreamTimeout = 10 * time.Second
	// second is a margin for connections that are just being opened, and for a busy machine.
	second = time.Second
	// poolIdle is how long the broker keeps connections of a burst to the API. Its limit is 45 s.
	poolIdle = 50 * time.Second
)

// kinds are all kinds. Those that concern the login server and explain nothing last less than the 8 s that a token has left.
var kinds = []kind{
	{name: apiUnavailable, excuses: []string{"503 of the API"}, min: second, max: 4 * second, recovery: second},
	{name: apiResets, excuses: []string{"502 of the broker"}, min: second, max: 4 * second, recovery: second},
	{name: apiMalformed, excuses: []string{"502 of the broker"}, min: second, max: 4 * second, recovery: second},
	{name: apiTruncates, excuses: []string{"502 of the broker", brokenOff}, min: second, max: 4 * second, recovery: second},
	{name: apiHangs, excuses: []string{"504 of the broker"}, min: second, max: 4 * second, recovery: second, settle: upstreamTimeout},
	{name: apiSlow, min: second, max: 4 * second, recovery: second, settle: poolIdle},
	{name: apiDown, excuses: []string{"502 of the broker", brokenOff}, min: second, max: 3 * second, recovery: second},
	{name: loginUnavailable, min: second, max: 4 * second},
	{name: loginHTML, min: second, max: 4 * second},
	{name: loginEchoes, min: second, max: 4 * second},
	{name: loginHangs, min: second, max: 2 * second},
	{name: loginSlow, min: 3 * second, max: 6 * second},
	// A token lasts 8 s after its first failed refresh. A request that is under way when it ends gets the API's 401, because there is
	// no other token. After an outage, attempts are at most 5 s apart.
	{
		name: loginOutage, excuses: []string{"503 of the broker", "401 of the API"}, min: 30 * second, max: 60 * second, delay: 5 * second,
		recovery: 6 * second, settle: poolIdle,
	},
	// The broker notices new files within 15 s.
	{name: loginRejects, excuses: []string{"503 of the broker"}, min: second, max: 3 * second, delay: 5 * second, recovery: 17 * second},
	{name: tokensRevoked},
	{name: rotation, min: 15 * second, max: 20 * second}, // the old pair is valid for that long
	{name: wrongRotation, min: 3 * second, max: 10 * second},
	{name: storeRestarts, min: second, max: 10 * second},
	{name: storeHangs, min: second, max: 5 * second},
	{name: hangup},
}
