// Package winservice installs and runs the broker as a Windows service, under a virtual account, with its log in the event log.
// Except for how log lines are converted, it exists only on Windows.
package winservice

import (
	"strings"

	"go.uber.org/zap/zapcore"
)

// eventFromLogLine returns the severity and the text of the event for a line of the log. Any other line is an error: it says why the
// broker does not start.
//
// The Event Viewer would replace %1 in a text, and there are percent signs in paths. In a JSON string, \u0025 is one too.
func eventFromLogLine(line string) (severity zapcore.Level, text string) {
	text = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "%", `\u0025`)
	level, isJSON := strings.CutPrefix(line, `{"level":"`)
	if !isJSON { // BROKER_LOG_FORMAT=console
		_, level, _ = strings.Cut(line, "\t")
	}
	level = strings.ToLower(level)
	switch {
	case strings.HasPrefix(level, "debug"), strings.HasPrefix(level, "info"):
		return zapcore.InfoLevel, text
	case strings.HasPrefix(level, "warn"):
		return zapcore.WarnLevel, text
	default:
		return zapcore.ErrorLevel, text
	}
}
