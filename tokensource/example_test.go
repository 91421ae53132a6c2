package tokensource_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// A Source fetches tokens while Run runs. Each request then reads the current one.
func ExampleSource() {
	eTrusted := httptest.NewServer(fakeetrusted.New(fakeetrusted.Options{}))
	defer eTrusted.Close()
	source, err := tokensource.New(tokensource.Config{
		Credentials: tokensource.CredentialSource{
			ID:     tokensource.CredentialFieldSource{Name: "the ID", Value: tokensource.NewSecret(fakeetrusted.DefaultClientID)},
			Secret: tokensource.CredentialFieldSource{Name: "the secret", Value: tokensource.NewSecret(fakeetrusted.DefaultClientSecret)},
		},
		Endpoint: tokensource.TokenEndpoint{
			URL: eTrusted.URL + "/oauth/token", Audience: "https://api.etrusted.com", Transport: &http.Transport{DisableKeepAlives: true},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go source.Run(ctx)

	if _, _, err := source.Wait(ctx); err != nil { // only until there is a token for the first time
		fmt.Println(err)
		return
	}
	authorization, _, ok := source.Current()
	fmt.Println(authorization[:len("Bearer ")], ok)
	fmt.Println(source.Snapshot().Account)
	// Output:
	// Bearer  true
	// default
}
