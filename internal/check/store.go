package check

import "context"

// Store is the token store that is shared with other brokers.
type Store struct {
	Address string
	// SelfTest does with the store what the broker does. Its error continues a sentence that starts with "it", and contains
	// nothing that the store sent.
	SelfTest func(context.Context) error
}

// checkStore runs the store's step. A failure is only a warning: without a store, each broker fetches its own token.
func (c *checker) checkStore(ctx context.Context) {
	if c.Store == nil {
		return
	}
	c.runStep(ctx, Step{Name: "token store", Target: c.Store.Address}, func(ctx context.Context) Step {
		if err := c.Store.SelfTest(ctx); err != nil {
			return passed("not in use; the broker works without it", "the token is not shared: the store "+err.Error())
		}
		return passed("works")
	})
}
