package admin

import (
	"maps"
	"slices"
	"strings"
	"time"

	"etrusted-broker/internal/operations"
)

// Caller is a program that may use the broker.
type Caller struct {
	Name string `json:"name"`
	// Accounts are those that it may use, the one for requests that name none first.
	Accounts []string `json:"accounts"`
	// Expires is when its access ends; absent if it does not.
	Expires time.Time `json:"expires,omitzero"`
	// Curl is curl with the options that the listener needs, and the caller's key if it has one, without a URL.
	Curl string `json:"curl,omitempty"`
}

// Operation is an operation of the API that apps use.
type Operation struct {
	Caller   string    `json:"caller,omitempty"` // absent if callers are not distinguished
	Method   string    `json:"method"`
	Path     string    `json:"path"` // with {id} in place of what is no fixed word of the API
	Count    uint64    `json:"count"`
	LastUsed time.Time `json:"last_used"`
	// Allowed reports whether the allow list in effect has it.
	Allowed bool `json:"allowed"`
}

// SuggestedAllowList is what an operator needs in order to write an allow list.
type SuggestedAllowList struct {
	// Mode is that of BROKER_ALLOW_MODE.
	Mode string `json:"mode"`
	// Line is the BROKER_ALLOW that allows all operations; absent without any.
	Line string `json:"line,omitempty"`
	// Callers has the same for each caller; absent if callers are not distinguished.
	Callers []SuggestedCallerAllowList `json:"callers,omitempty"`
	// Evicted counts operations that made room for others: Line may lack them.
	Evicted uint64 `json:"evicted"`
}

// SuggestedCallerAllowList is what one caller needs.
type SuggestedCallerAllowList struct {
	Caller   string `json:"caller"`
	Patterns string `json:"patterns"` // for the caller's allow file, comma-separated
}

// operations returns what apps use, and the allow list that would allow just that.
func (h *Handler) operations() ([]Operation, SuggestedAllowList) {
	counted, evicted := h.config.Operations.All()
	list := SuggestedAllowList{Mode: h.config.AllowMode, Evicted: evicted}
	if len(counted) > 0 {
		list.Line = "BROKER_ALLOW=" + strings.Join(operations.AllowPatterns(counted), ", ")
	}
	all, byCaller := []Operation{}, map[string][]operations.UsedOperation{}
	for _, one := range counted {
		all = append(all, Operation{one.Caller, one.Method, one.Path, one.Count, one.LastUsed.UTC(), h.config.InAllowList(one)})
		byCaller[one.Caller] = append(byCaller[one.Caller], one)
	}
	delete(byCaller, "")
	for _, caller := range slices.Sorted(maps.Keys(byCaller)) {
		list.Callers = append(list.Callers, SuggestedCallerAllowList{caller, strings.Join(operations.AllowPatterns(byCaller[caller]), ", ")})
	}
	return all, list
}
