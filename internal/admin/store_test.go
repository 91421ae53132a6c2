package admin_test

import (
	"strings"
	"testing"

	"etrusted-broker/internal/admin"
	"etrusted-broker/tokensource"
)

// TestTokenStore: without a store, the page and /status.json do not mention one.
func TestTokenStore(t *testing.T) {
	t.Parallel()
	shared := valid("default")
	shared.Shared, shared.HoldsLease, shared.FromPeer, shared.StoreHits, shared.StoreErrors = true, true, true, 3, 4
	for name, test := range map[string]struct {
		snapshot tokensource.Snapshot
		problem  func() string
		store    *admin.TokenStoreStatus
		shared   *admin.SharedToken
		page     string
	}{
		"none":     {valid("default"), nil, nil, nil, `<div data-show="display.store" hidden><dt>Token store</dt><dd data-text="display.store"></dd></div>`},
		"works":    {shared, func() string { return "" }, &admin.TokenStoreStatus{Working: true}, &admin.SharedToken{HoldsLease: true, FromPeer: true, Hits: 3, Errors: 4}, `<div data-show="display.store"><dt>Token store</dt><dd data-text="display.store">in use</dd></div>`},
		"not used": {shared, func() string { return "refused <the> connection" }, &admin.TokenStoreStatus{Problem: "refused <the> connection"}, &admin.SharedToken{HoldsLease: true, FromPeer: true, Hits: 3, Errors: 4}, `not in use: it refused &lt;the&gt; connection</dd>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(test.snapshot)
			c.StoreProblem = test.problem
			got := statusFor(t, c)
			if (got.TokenStore == nil) != (test.store == nil) || test.store != nil && *got.TokenStore != *test.store {
				t.Errorf("token_store is %+v, want %+v", got.TokenStore, test.store)
			}
			if part := got.Accounts[0].Shared; (part == nil) != (test.shared == nil) || part != nil && *part != *test.shared {
				t.Errorf("shared is %+v, want %+v", part, test.shared)
			}
			if page := ask(admin.Handler(c), "GET", "/").Body.String(); !strings.Contains(page, test.page) {
				t.Errorf("the page lacks %s", test.page)
			}
		})
	}
}
