package winservice

import (
	"testing"

	"go.uber.org/zap/zapcore"
)

func TestLinesOfTheLogAreEvents(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		severity zapcore.Level
		text     string
	}{
		`{"level":"debug","msg":"x"}` + "\n":            {zapcore.InfoLevel, `{"level":"debug","msg":"x"}`},
		`{"level":"info","msg":"a warning"}` + "\n":     {zapcore.InfoLevel, `{"level":"info","msg":"a warning"}`},
		`{"level":"warn","msg":"x"}` + "\n":             {zapcore.WarnLevel, `{"level":"warn","msg":"x"}`},
		`{"level":"error","msg":"info"}` + "\n":         {zapcore.ErrorLevel, `{"level":"error","msg":"info"}`},
		"12:00:00.000\tINFO\tlistening\t{}\n":           {zapcore.InfoLevel, "12:00:00.000\tINFO\tlistening\t{}"},
		"12:00:00.000\tWARN\trefused\t{}\n":             {zapcore.WarnLevel, "12:00:00.000\tWARN\trefused\t{}"},
		"12:00:00.000\tERROR\tfailed\t{}\n":             {zapcore.ErrorLevel, "12:00:00.000\tERROR\tfailed\t{}"},
		"broker: invalid configuration:\r\n":            {zapcore.ErrorLevel, "broker: invalid configuration:"},
		"  BROKER_LISTEN: must be HOST:PORT\n":          {zapcore.ErrorLevel, "  BROKER_LISTEN: must be HOST:PORT"},
		`{"level":"warn","path":"/a%20b%1"}` + "\n":     {zapcore.WarnLevel, `{"level":"warn","path":"/a\u002520b\u00251"}`},
		`{"level":"panic","msg":"of a library"}` + "\n": {zapcore.ErrorLevel, `{"level":"panic","msg":"of a library"}`},
	} {
		if severity, text := eventFromLogLine(line); severity != want.severity || text != want.text {
			t.Errorf("%q: got %d, %q, want %d, %q", line, severity, text, want.severity, want.text)
		}
	}
}
