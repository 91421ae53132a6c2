package server

import (
	"net/http"
	"net/http/pprof"
)

// withProfiles adds Go's profiles to the admin listener. They contain names of functions and no values, so no secrets. The
// execution trace may contain more and is left out.
func withProfiles(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the profiles that it lists
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}
