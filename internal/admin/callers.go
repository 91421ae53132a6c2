package admin

import "time"

// Callers are the programs that may use the broker.
type Callers struct {
	Callers []Caller
	// Problems say which files of callers an operator should fix.
	Problems []string
}

// Caller is a program that may use the broker.
type Caller struct {
	Name string `json:"name"`
	// Accounts are those that it may use, the one for requests that name none first.
	Accounts []string `json:"accounts"`
	// Expires is when its access ends; absent if it does not.
	Expires time.Time `json:"expires,omitzero"`
	// Curl is curl with the options that the listener needs and the caller's key, without a URL.
	Curl string `json:"curl,omitempty"`
}
