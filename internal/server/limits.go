package server

import (
	"runtime/debug"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/harden"
)

// connectionLimits bound the connections so that file descriptors and memory suffice. Whatever clients do to the app's listener, enough
// are left for the API, the login server, watched files, and the admin listener.
type connectionLimits struct {
	app, admin int // open connections
	idle       int // idle connections to the API that are kept for reuse
}

const (
	maxAppConnections         = 2048
	minAppConnectionsByMemory = 64 // whatever the memory limit; few descriptors can make it less
	maxAdminConnections       = 64 // suffices for scrapers, probes and operators
	// maxIdleUpstreamConnections covers a burst of an app's workers. With net/http's default of 2, handshakes took ten times the
	// CPU at 64 concurrent requests.
	maxIdleUpstreamConnections = 256
	// reservedDescriptors are for the login server, the log, the listeners, and files that are read or watched.
	reservedDescriptors = 40
	// memoryWithoutAppConnections is for everything except the app's connections. An idle broker uses 18 MB.
	memoryWithoutAppConnections = 32 << 20
	// memoryPerAppConnection is the worst case of one of the app's connections: a stalled reader of a long gzip response holds some
	// 110 KiB (decompressor, decompressed data, buffers and stack), and the garbage collector lets the heap grow to twice what is
	// in use.
	memoryPerAppConnection = 256 << 10
	// memoryPerAppConnectionToHTTP2API is the same over HTTP/2 to the API, which also holds a part of the response: see
	// http2StreamWindow.
	memoryPerAppConnectionToHTTP2API = 512 << 10
)

// limitsFor divides the descriptors and the bytes of memory, of which each of the app's connections may need perConnection.
// Each may also need a connection to the API.
func limitsFor(descriptors int, memory, perConnection int64) connectionLimits {
	l := connectionLimits{
		admin: max(4, min(maxAdminConnections, descriptors/16)),
		idle:  max(4, min(maxIdleUpstreamConnections, descriptors/4)),
	}
	affordable := int(max(minAppConnectionsByMemory, min(maxAppConnections, (memory-memoryWithoutAppConnections)/perConnection)))
	l.app = max(4, min(affordable, (descriptors-reservedDescriptors-l.admin-l.idle)/2))
	l.idle = min(l.idle, l.app)
	return l
}

// currentLimits divides what the process may use: with GOMEMLIMIT, or the limit that harden.LowerGoMemoryLimitToCgroup has set.
func currentLimits(c config.Config) connectionLimits {
	memory, perConnection := debug.SetMemoryLimit(-1), int64(memoryPerAppConnection) // it reads the limit and does not change it
	if c.UpstreamHTTP2 {
		perConnection = memoryPerAppConnectionToHTTP2API
	}
	l := limitsFor(harden.MaxOpenFiles(), memory, perConnection)
	if c.AccountsDir != "" {
		l.idle /= 2 // see idlePerAccountAPI
	}
	return l
}

// idlePerAccountAPI returns how many idle connections are kept to an API that only accounts have. With accounts, currentLimits has
// halved idle: the other half is for four such APIs.
func (l connectionLimits) idlePerAccountAPI() int { return max(1, l.idle/4) }
