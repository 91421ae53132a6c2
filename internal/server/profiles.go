package server

import (
	"net/http"
	"net/http/pprof"
)

// withProfiles puts Go's profiles beside what the admin listener serves. They tell where time and memory go, by the names
// of functions; no value, and so no secret, is in them. The execution trace, which may hold more, is left out.
func withProfiles(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the profiles that it lists
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}
