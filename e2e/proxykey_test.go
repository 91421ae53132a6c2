package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// An app whose proxy's URL bears the access key has shown it: its own token request, with whatever credentials, is served.
func TestKeyInProxyURL(t *testing.T) {
	t.Parallel()
	php.need(t)
	for _, way := range []way{byHTTPProxy, byHTTPSProxy} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			r := newReviews(t)
			environ, ca := way.environ(t)
			b := r.start(t, append(environ, "BROKER_ACCESS_KEY="+accessKey)...)
			given := way.given(t, php, b, ca).and(dummies)
			for i, v := range given.environ {
				if strings.Contains(strings.ToLower(v), "_proxy=") {
					given.environ[i] = strings.Replace(v, "http://", "http://app:"+accessKey+"@", 1)
				}
			}
			if _, err := php.run(t, filepath.Join("testdata", "reviews.php"), given); err != nil {
				t.Error(err)
			}
			r.wantNoDummies(t)
		})
	}
}
