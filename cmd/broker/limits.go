package main

import "etrusted-broker/internal/harden"

// limits are how many connections there may be, so that the descriptors last for everyone: whatever is done to the app's
// listener, there are some left for the API, the login server, the files that are followed, and the admin listener.
type limits struct {
	app, admin int // open connections
	idle       int // connections to the API that are kept for later
}

const (
	// maxAppConnections bounds the memory rather than the descriptors: some 25 kB each, idle.
	maxAppConnections = 2048
	// maxAdminConnections is for a few scrapers, probes and people.
	maxAdminConnections = 64
	// maxIdle covers a burst of an app's workers. The default of 2 made a proxy burn ten times the CPU, in handshakes, at
	// 64 requests at once.
	maxIdle = 256
	// reservedDescriptors are for the login server, the log, the listeners, and files that are read or followed.
	reservedDescriptors = 40
	// usualDescriptors is taken for the limit where it is not known.
	usualDescriptors = 1024
)

// limitsFor divides the descriptors. Each of the app's connections may need another to the API.
func limitsFor(descriptors int) limits {
	l := limits{
		admin: max(4, min(maxAdminConnections, descriptors/16)),
		idle:  max(4, min(maxIdle, descriptors/4)),
	}
	l.app = max(4, min(maxAppConnections, (descriptors-reservedDescriptors-l.admin-l.idle)/2))
	return l
}

func currentLimits() limits {
	descriptors, ok := harden.DescriptorLimit()
	if !ok {
		descriptors = usualDescriptors
	}
	return limitsFor(descriptors)
}
