// naive is the proxy that you would write in an afternoon: thirty lines, with the standard library and the usual OAuth 2.0
// package. It has none of the broker's features; the benchmark runs it to show what they cost.
package main

import (
	"context"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	api, err := url.Parse(os.Getenv("ETRUSTED_API_URL"))
	if err != nil {
		log.Fatal(err)
	}
	credentials := clientcredentials.Config{
		ClientID:       os.Getenv("ETRUSTED_CLIENT_ID"),
		ClientSecret:   os.Getenv("ETRUSTED_CLIENT_SECRET"),
		TokenURL:       os.Getenv("ETRUSTED_TOKEN_URL"),
		AuthStyle:      oauth2.AuthStyleInParams,
		EndpointParams: url.Values{"audience": {os.Getenv("ETRUSTED_AUDIENCE")}},
	}
	proxy := httputil.NewSingleHostReverseProxy(api)
	proxy.Transport = &oauth2.Transport{Source: credentials.TokenSource(context.Background())}
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), proxy))
}
