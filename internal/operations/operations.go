// Package operations counts the operations of the API that apps use, and makes an allow list of them. An operation is a method
// and a path in which ids are replaced: GET /reviews/{id}.
//
// All of it may be chosen by a hostile app. So memory is bounded, and no text of an operation has other characters than letters,
// digits, slashes, hyphens and braces.
package operations

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxOperationsPerCaller limits the operations that are kept for each caller: far more than an app uses, and a page that can still be read.
	maxOperationsPerCaller = 200
	// maxWords is how many operations may differ in the same one word of their path. More words than that are names or article
	// numbers, and become an id.
	maxWords = 10
)

// Operation is an operation that a caller has used.
type Operation struct {
	// Caller is empty if callers are not distinguished.
	Caller string
	Method string
	// Path has {id} in place of each segment that is no word: see Normalize.
	Path     string
	Count    uint64
	LastUsed time.Time
}

// Counts counts the operations of each caller. The zero value is ready to use. It keeps the last 200 operations that a caller
// has used. Callers must be known to the operator: their number is not limited. All methods are safe for concurrent use.
type Counts struct {
	mu      sync.Mutex
	callers map[string]*callerCounts
}

type callerCounts struct {
	operations map[string]*operation // by key
	evicted    uint64
}

type operation struct {
	Operation
	merged bool // it has the counts of several words in place of its id
}

// Add counts a request, whose path is percent-encoded and has no query. It ignores a request for which Normalize has no
// operation. Unless the operation is new, it does not allocate.
func (c *Counts) Add(caller, method, path string, now time.Time) {
	var buffer [maxKey]byte
	key, ok := appendKey(buffer[:0], method, path)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.callers[caller]
	if of == nil {
		of = &callerCounts{operations: map[string]*operation{}}
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

// addOrMerge returns the operation that counts requests with a key that is not in the map.
func (c *callerCounts) addOrMerge(caller, key string) *operation {
	for before, after := range words(key) {
		general := before + id + after
		if merged := c.operations[general]; merged != nil && merged.merged {
			return merged
		}
		if siblings := c.between(before, after); len(siblings) >= maxWords {
			return c.merge(siblings, newOperation(caller, general), general)
		}
	}
	if len(c.operations) >= maxOperationsPerCaller {
		c.evict()
	}
	c.operations[key] = newOperation(caller, key)
	return c.operations[key]
}

func newOperation(caller, key string) *operation {
	method, path, _ := strings.Cut(key, " ")
	return &operation{Operation: Operation{Caller: caller, Method: method, Path: path}}
}

// words returns, for each word of a key except the first, what is before and after it. The first names a collection of the API,
// such as reviews: without it, a pattern would allow too much.
func words(key string) iter.Seq2[string, string] {
	return func(yield func(before, after string) bool) {
		end := strings.IndexByte(key, '/') + 1
		for {
			slash := strings.IndexByte(key[end:], '/')
			if slash < 0 {
				return
			}
			start := end + slash + 1
			word, _, _ := strings.Cut(key[start:], "/")
			if end = start + len(word); isWord(word) && !yield(key[:start], key[end:]) {
				return
			}
		}
	}
}

// between returns the keys that have a word between two texts.
func (c *callerCounts) between(before, after string) (keys []string) {
	for key := range c.operations {
		if len(key) > len(before)+len(after) && strings.HasPrefix(key, before) && strings.HasSuffix(key, after) && isWord(key[len(before):len(key)-len(after)]) {
			keys = append(keys, key)
		}
	}
	return keys
}

// merge replaces operations by one that has their counts.
func (c *callerCounts) merge(keys []string, into *operation, key string) *operation {
	into.merged = true
	for _, one := range append(keys, key) {
		if before := c.operations[one]; before != nil {
			into.Count += before.Count
			delete(c.operations, one)
		}
	}
	c.operations[key] = into
	return into
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
func (c *Counts) All() (operations []Operation, evicted uint64) {
	c.mu.Lock()
	for _, of := range c.callers {
		for _, one := range of.operations {
			operations = append(operations, one.Operation)
		}
		evicted += of.evicted
	}
	c.mu.Unlock()
	slices.SortFunc(operations, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	return operations, evicted
}
