// Package linkrewrite replaces the API's base URL in its responses, so that a client that follows a link stays with the
// gateway.
//
// A link is a JSON string value, not an object key, that is the base URL or starts with it followed by "/", "?" or "#".
// Only the base is replaced. All other bytes stay the same: the format of numbers, the order of objects, and text that
// mentions the URL.
//
// The base is compared with the string's value, not with its representation: PHP writes https:\/\/, and \u002f is a
// slash too. The comparison is case-sensitive, because an API writes its own address in one way.
//
// Input that is not JSON is passed on. It is unspecified which of its strings are rewritten, but nothing else changes,
// and the result does not depend on how the input is split into reads.
package linkrewrite
