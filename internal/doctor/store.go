package doctor

import "context"

// Store is where the token is shared with other brokers.
type Store struct {
	Address string
	// Try does with the store what the broker does. Its error is the end of a sentence that begins with "it", and holds
	// nothing that the store said.
	Try func(context.Context) error
}

// store looks at the store. What is wrong with it is a warning: without it, each broker fetches by itself.
func (e *examination) store(ctx context.Context) {
	if e.Store == nil {
		return
	}
	e.step(ctx, Step{Name: "token store", Target: e.Store.Address}, func(ctx context.Context) finding {
		if err := e.Store.Try(ctx); err != nil {
			found := fine("the broker works without it")
			found.warnings = []string{"the token is not shared, since the store " + err.Error()}
			return found
		}
		return fine("the token can be shared in it")
	})
}
