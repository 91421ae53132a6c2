// Package docs contains the page of the documentation that the broker serves itself.
package docs

import _ "embed" // for the page

// Troubleshooting is the troubleshooting guide, in Markdown.
//
//go:embed troubleshooting.md
var Troubleshooting string
