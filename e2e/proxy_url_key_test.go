package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestAcceptsAccessKeyInProxyURL: an app can send the access key in its proxy URL. Its own token request, with any
// credentials, is then served too.
func TestAcceptsAccessKeyInProxyURL(t *testing.T) {
	t.Parallel()
	php.need(t)
	for _, setup := range []appSetup{viaHTTPProxy, viaHTTPSProxy} {
		t.Run(setup.name, func(t *testing.T) {
			t.Parallel()
			r := startReviewsServers(t)
			config := setup.startBroker(t, r, php, "BROKER_ACCESS_KEY="+accessKey)
			for i, v := range config.env {
				if strings.Contains(strings.ToLower(v), "_proxy=") {
					config.env[i] = strings.Replace(v, "http://", "http://app:"+accessKey+"@", 1)
				}
			}
			if _, err := php.run(t, filepath.Join("testdata", "reviews.php"), config); err != nil {
				t.Error(err)
			}
			r.wantNoAppCredentials(t)
		})
	}
}
