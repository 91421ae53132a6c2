// Package linkrewrite rewrites the links in a JSON API's responses that lead back to the API's own address.
//
// A client follows such a link as it is, so behind a gateway it would go past it. A link is a JSON string that is a
// value, not an object's key, and that is the API's base URL or begins with it followed by "/", "?" or "#". The base is
// replaced, and every other byte of the body stays as it is: a number keeps its spelling, an object its order, and text
// that only mentions the URL is not touched.
//
// The base is compared with what the string says, not with how it is spelled: PHP writes https:\/\/, and \u002f is a
// slash too. It is compared exactly, upper and lower case included: an API spells its own address in one way.
//
// What is not JSON is passed on too. Which strings in it are rewritten is not promised, only that nothing else is
// changed, and that it does not depend on how the text arrives.
package linkrewrite
