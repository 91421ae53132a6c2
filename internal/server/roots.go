package server

import (
	"crypto/x509"
	"runtime/debug"
	"sync"
)

// loadRoots parses the system's certificate authorities, beside the rest of the start: the first token request would wait for
// it, some 20 ms. It leaves 4 MB of garbage, which an idle broker would keep. crypto/x509 parses them once per process.
var loadRoots = sync.OnceFunc(func() {
	_, _ = x509.SystemCertPool() // an error comes back with each connection
	debug.FreeOSMemory()
})
