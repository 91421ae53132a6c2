package server

import (
	"math"

	"etrusted-broker/internal/harden"
)

// limits are how many connections there may be, so that descriptors and memory suffice: whatever is done to the app's
// listener, there are some left for the API, the login server, the files that are followed, and the admin listener.
type limits struct {
	app, admin int // open connections
	idle       int // connections to the API that are kept for later
}

const (
	maxAppConnections = 2048
	// minAppConnections are for the app, however little memory there is.
	minAppConnections = 64
	// maxAdminConnections is for a few scrapers, probes and people.
	maxAdminConnections = 64
	// maxIdle covers a burst of an app's workers. The default of 2 made a proxy burn ten times the CPU, in handshakes, at
	// 64 requests at once.
	maxIdle = 256
	// reservedDescriptors are for the login server, the log, the listeners, and files that are read or followed.
	reservedDescriptors = 40
	// baseMemory is for everything but the app's connections. At rest the broker takes 19 MB.
	baseMemory = 32 << 20
	// connectionMemory is the most that one of the app's connections takes: twice what a stalled reader of a long gzip
	// response holds, since the collector lets the heap grow to twice what is in use. That is 180 KiB: 64 of TLS records that
	// have arrived, 45 to decompress them, 40 of what was decompressed, 20 of stacks, 10 of net/http's buffers. An idle
	// connection takes 25.
	connectionMemory = 384 << 10
	// usualDescriptors is taken for the limit where it is not known.
	usualDescriptors = 1024
)

// limitsFor divides the descriptors and the bytes of memory. Each of the app's connections may need another to the API.
func limitsFor(descriptors int, memory int64) limits {
	l := limits{
		admin: max(4, min(maxAdminConnections, descriptors/16)),
		idle:  max(4, min(maxIdle, descriptors/4)),
	}
	affordable := int(max(minAppConnections, min(maxAppConnections, (memory-baseMemory)/connectionMemory)))
	l.app = max(4, min(affordable, (descriptors-reservedDescriptors-l.admin-l.idle)/2))
	l.idle = min(l.idle, l.app)
	return l
}

func currentLimits() limits {
	descriptors, ok := harden.DescriptorLimit()
	if !ok {
		descriptors = usualDescriptors
	}
	memory, ok := harden.MemoryLimit()
	if !ok {
		memory = math.MaxInt64
	}
	return limitsFor(descriptors, memory)
}
