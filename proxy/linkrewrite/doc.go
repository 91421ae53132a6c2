// Package linkrewrite replaces the API's origin in its responses, so that a client that follows a link stays with the
// gateway.
//
// A link is a JSON string value, not an object key, that is this origin or starts with it followed by "/", "?" or "#".
// Only the origin is replaced. All other bytes stay the same: the format of numbers, the order of objects, and text that
// mentions the URL.
//
// The origin is compared with the string's value, not with its representation: PHP writes https:\/\/, and \u002f is a
// slash too. Scheme and host match in any case (RFC 3986 section 6.2.2.1), with or without the default port (6.2.3).
// The scheme may be https, http or missing: behind a load balancer, an API often does not know its own.
//
// JSON is not parsed. The search looks for two bytes of the host, and then at the bytes around them, which suffices:
// in JSON, an unescaped quote that a URL follows opens a string, and a key is behind "{", or behind "," and before ":".
//
// Input that is not JSON is passed on. It is unspecified which of its strings are rewritten, but nothing else changes,
// and the result does not depend on how the input is split into reads.
package linkrewrite
