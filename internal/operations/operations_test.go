package operations_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/operations"
)

const uuid = "4b4c1f0e-8a52-4f4e-9c8f-d1f0c9b2a7e3"

func TestReplacesWhatIsNoWord(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/reviews":                      "/reviews",
		"/":                             "/",
		"/reviews/":                     "/reviews/",
		"/reviews-minimal":              "/reviews-minimal",
		"/reviews/rev-" + uuid:          "/reviews/{id}",
		"/event-types/" + uuid:          "/event-types/{id}",
		"/v2/reviews/count":             "/v2/reviews/count",
		"/reviews/1234/vetos":           "/reviews/{id}/vetos",
		"/x/anna%40example.com":         "/x/{id}",
		"/x/anna@example.com":           "/x/{id}",
		"/x/Anna":                       "/x/{id}",
		"/x/sku_1/y":                    "/x/{id}/y",
		"/x/-a":                         "/x/{id}",
		"/x/a-":                         "/x/{id}",
		"/x/a--b":                       "/x/{id}",
		"/x/v123":                       "/x/{id}",
		"/x/%7Bid%7D":                   "/x/{id}",
		"/x/a,b%20%E2%80%AE":            "/x/{id}",
		"/x/" + strings.Repeat("a", 33): "/x/{id}",
		"/channels/chl-" + uuid + "/service-reviews/aggregate-rating": "/channels/{id}/service-reviews/aggregate-rating",
		"/@shop-de/reviews": "/reviews",
		"/@shop-de":         "/",
		"/@shop/x/@b":       "/x/{id}",
	} {
		if got, ok := operations.Normalize("GET", path); !ok || got != "GET "+want {
			t.Errorf("%s: got %q, %t, want %q", path, got, ok, "GET "+want)
		}
	}
}

// No pattern with {id} allows such a request.
func TestHasNoOperationForUnusualRequests(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"", "*", "reviews", "//reviews", "/reviews//1", "/a%2Fb", "/a/1;v=2", "/a/%3b", "/a/%3F1", "/a/%23", "/a/%255c", "/a/%0A", "/a/%ff", "/a/...",
		"/a/%20.", "/a/%4", "/a/%zz", "/%63hannels", "/Reviews", "/1", "/@a/@b", "/a/" + strings.Repeat("1", 257), strings.Repeat("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 8), strings.Repeat("/a", 17),
	} {
		if got, ok := operations.Normalize("GET", path); ok {
			t.Errorf("%q: got %q, want none", path, got)
		}
	}
	for _, method := range []string{"", "get", "M-SEARCH", "GET\n", "G{id}", "ABCDEFGHIJKLMNOPQ"} {
		if got, ok := operations.Normalize(method, "/reviews"); ok {
			t.Errorf("%q: got %q, want none", method, got)
		}
	}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// texts returns what was counted, without times.
func texts(c *operations.Counts) (all []string) {
	counted, _ := c.All()
	for _, one := range counted {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %d", one.Caller, one.Method, one.Path, one.Count)))
	}
	return all
}

func TestCountsByCallerAndOperation(t *testing.T) {
	t.Parallel()
	var c operations.Counts
	c.Add("", "GET", "/reviews/1", noon)
	c.Add("", "POST", "/reviews/2", noon)
	c.Add("", "GET", "/@shop/reviews/2", noon.Add(time.Second))
	c.Add("erp", "GET", "/reviews/1", noon)
	c.Add("", "GET", "/a%2Fb", noon)
	c.Add("", "GET", "/reviews/count", noon)
	want := []string{"GET /reviews/count 1", "GET /reviews/{id} 2", "POST /reviews/{id} 1", "erp GET /reviews/{id} 1"}
	if got := texts(&c); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if all, evicted := c.All(); !all[1].LastUsed.Equal(noon.Add(time.Second)) || evicted != 0 {
		t.Errorf("got %v, %d, want the time of the second request, and none evicted", all[1].LastUsed, evicted)
	}
}

func TestDeletesCaller(t *testing.T) {
	t.Parallel()
	var c operations.Counts
	c.Add("erp", "GET", "/reviews", noon)
	c.Add("shop", "GET", "/reviews", noon)
	c.Delete("erp")
	if got, want := texts(&c), []string{"shop GET /reviews 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLeastRecentlyUsedMakesRoom(t *testing.T) {
	t.Parallel()
	var c operations.Counts
	word := func(i int) string { return "/" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
	now := noon
	use := func(path string) { now = now.Add(time.Second); c.Add("", "GET", path, now) }
	c.Add("other", "GET", "/reviews", noon)
	for i := range 200 {
		use(word(i))
	}
	use(word(0))
	use(word(200))
	all, evicted := c.All()
	has := func(path string) bool {
		return slices.ContainsFunc(all, func(one operations.UsedOperation) bool { return one.Path == path })
	}
	if len(all) != 201 || evicted != 1 || has(word(1)) || !has(word(0)) || !has(word(200)) || !has("/reviews") {
		t.Errorf("got %d operations, %d evicted, want 200 and the other caller's, without the one that was not used for the longest time", len(all), evicted)
	}
}

// Many words in the same place are names or article numbers: they are not kept, and do not fill the list.
func TestManyWordsInOnePlaceAreIDs(t *testing.T) {
	t.Parallel()
	var c operations.Counts
	c.Add("", "GET", "/reviews/count", noon)
	c.Add("", "GET", "/customers/4711/orders", noon)
	for i := range 50 {
		name := string(rune('a'+i%26)) + strings.Repeat("x", i)
		c.Add("", "GET", "/customers/"+name[:min(len(name), 32)]+"/orders", noon)
		c.Add("", "GET", "/"+name[:min(len(name), 32)], noon)
	}
	var got []string
	for _, one := range texts(&c) {
		if strings.Count(one, "/") > 1 {
			got = append(got, one)
		}
	}
	if want := []string{"GET /customers/{id}/orders 51", "GET /reviews/count 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(texts(&c)) < 30 {
		t.Errorf("got %q, want the first word of each path unchanged", texts(&c))
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	var c operations.Counts
	count := func() {
		c.Add("shop", "GET", "/channels/chl-"+uuid+"/service-reviews/aggregate-rating", noon)
	}
	if count(); testing.AllocsPerRun(100, count) != 0 {
		t.Errorf("got allocations for an operation that is known, want none")
	}
}
