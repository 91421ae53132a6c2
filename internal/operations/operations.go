// Package operations counts the operations of the API that apps use, and makes an allow list of them. An operation is a method
// and a path in which ids are replaced: GET /reviews/{id}.
//
// All of it may be chosen by a hostile app. So memory is bounded, and no text of an operation has other characters than letters,
// digits, slashes, hyphens and braces.
package operations

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxOperationsPerCaller = 200 // far more than an app uses, and a page that can still be read
	// maxDistinctWordsPerSegment is how many words may stand in the same place of a path. More than that are names or article numbers,
	// and become an id.
	maxDistinctWordsPerSegment = 10
)

// UsedOperation is an operation that a caller has used.
type UsedOperation struct {
	// Caller is empty if callers are not distinguished.
	Caller string
	Method string
	// Path has {id} in place of each segment that is no word: see Normalize.
	Path     string
	Count    uint64
	LastUsed time.Time

	merged bool // it has the counts of operations with different words in place of an {id}
}

// Counts counts the operations of each caller. The zero value is ready to use. It keeps the last 200 operations that a caller
// has used. Callers must be known to the operator: their number is not limited. All methods are safe for concurrent use.
type Counts struct {
	mu      sync.Mutex
	callers map[string]*callerCounts
}

type callerCounts struct {
	operations map[string]*UsedOperation // by what Normalize returns
	evicted    uint64
}

// Add counts a request, whose path is percent-encoded and has no query. It ignores a request for which Normalize has no
// operation. Unless the operation is new, it does not allocate.
func (c *Counts) Add(caller, method, path string, now time.Time) {
	var buffer [maxOperationLength]byte
	key, ok := normalizeInto(buffer[:0], method, path)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.callers[caller]
	if of == nil {
		of = &callerCounts{operations: map[string]*UsedOperation{}}
		if c.callers == nil {
			c.callers = map[string]*callerCounts{}
		}
		c.callers[caller] = of
	}
	counted := of.operations[string(key)]
	if counted == nil {
		counted = of.addOrMerge(caller, string(key))
	}
	counted.Count++
	counted.LastUsed = now
}

// addOrMerge returns the operation that counts requests with a key that is not in the map. It merges operations that differ only
// in the same word. That is never the first word, which names a collection of the API, such as reviews: without it, a pattern
// would allow too much.
func (c *callerCounts) addOrMerge(caller, key string) *UsedOperation {
	for i := strings.IndexByte(key, '/') + 1; i < len(key); i++ {
		before, rest := key[:i+1], key[i+1:]
		word, _, _ := strings.Cut(rest, "/")
		if key[i] != '/' || !isWord(word) {
			continue
		}
		after := rest[len(word):]
		general := before + idPlaceholder + after
		merged := c.operations[general]
		if merged != nil && merged.merged {
			return merged
		}
		siblings := c.keysWithWordBetween(before, after)
		if len(siblings) < maxDistinctWordsPerSegment {
			continue
		}
		if merged == nil {
			merged = c.add(caller, general)
		}
		merged.merged = true
		for _, sibling := range siblings {
			merged.Count += c.operations[sibling].Count
			delete(c.operations, sibling)
		}
		return merged
	}
	if len(c.operations) >= maxOperationsPerCaller {
		c.evict()
	}
	return c.add(caller, key)
}

func (c *callerCounts) add(caller, key string) *UsedOperation {
	method, path, _ := strings.Cut(key, " ")
	c.operations[key] = &UsedOperation{Caller: caller, Method: method, Path: path}
	return c.operations[key]
}

func (c *callerCounts) keysWithWordBetween(before, after string) (keys []string) {
	for key := range c.operations {
		rest, hasBefore := strings.CutPrefix(key, before)
		word, hasAfter := strings.CutSuffix(rest, after)
		if hasBefore && hasAfter && isWord(word) {
			keys = append(keys, key)
		}
	}
	return keys
}

// evict removes the operation that was not used for the longest time.
func (c *callerCounts) evict() {
	var oldest string
	for key, one := range c.operations {
		if oldest == "" || one.LastUsed.Before(c.operations[oldest].LastUsed) {
			oldest = key
		}
	}
	delete(c.operations, oldest)
	c.evicted++
}

// Delete removes the operations of a caller.
func (c *Counts) Delete(caller string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.callers, caller)
}

// All returns the operations by caller, path and method, and how many were removed to make room for others.
func (c *Counts) All() (operations []UsedOperation, evicted uint64) {
	c.mu.Lock()
	for _, of := range c.callers {
		for _, one := range of.operations {
			operations = append(operations, *one)
		}
		evicted += of.evicted
	}
	c.mu.Unlock()
	slices.SortFunc(operations, func(a, b UsedOperation) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	return operations, evicted
}
