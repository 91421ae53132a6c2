// Package winservice installs and runs the broker as a Windows service, under a virtual account, with its log in the event log.
// Except for how log lines are converted, it exists only on Windows.
package winservice

import (
	"strings"
)

// Severity is the type of an event.
type Severity int

// The severities, in which the levels of the log are shown.
const (
	SeverityInfo Severity = iota
	SeverityWarning
	SeverityError
)

// eventFromLogLine returns a line of the log as an event. What is not a line of the log is an error, as it says why the broker does not start.
//
// The Event Viewer would replace %1 in a text, and there are percent signs in paths. In a JSON string, \u0025 is one too.
func eventFromLogLine(line string) (severity Severity, text string) {
	text = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "%", `\u0025`)
	level, isJSON := strings.CutPrefix(line, `{"level":"`)
	if !isJSON { // BROKER_LOG_FORMAT=console
		_, level, _ = strings.Cut(line, "\t")
	}
	level = strings.ToLower(level)
	switch {
	case strings.HasPrefix(level, "debug"), strings.HasPrefix(level, "info"):
		return SeverityInfo, text
	case strings.HasPrefix(level, "warn"):
		return SeverityWarning, text
	default:
		return SeverityError, text
	}
}
