package admin

import (
	"maps"
	"slices"
)

// The closed sets.
var (
	AccountStates = slices.Collect(maps.Keys(accountStateDisplay))
	BrokerStates  = slices.Collect(maps.Keys(brokerSymbols))
	Causes        = slices.Collect(maps.Keys(causeLabels))
)
