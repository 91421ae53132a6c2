package winservice

import "testing"

func TestLinesOfTheLogAreEvents(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		severity Severity
		text     string
	}{
		`{"level":"debug","msg":"x"}` + "\n":            {SeverityInfo, `{"level":"debug","msg":"x"}`},
		`{"level":"info","msg":"a warning"}` + "\n":     {SeverityInfo, `{"level":"info","msg":"a warning"}`},
		`{"level":"warn","msg":"x"}` + "\n":             {SeverityWarning, `{"level":"warn","msg":"x"}`},
		`{"level":"error","msg":"info"}` + "\n":         {SeverityError, `{"level":"error","msg":"info"}`},
		"12:00:00.000\tINFO\tlistening\t{}\n":           {SeverityInfo, "12:00:00.000\tINFO\tlistening\t{}"},
		"12:00:00.000\tWARN\trefused\t{}\n":             {SeverityWarning, "12:00:00.000\tWARN\trefused\t{}"},
		"12:00:00.000\tERROR\tfailed\t{}\n":             {SeverityError, "12:00:00.000\tERROR\tfailed\t{}"},
		"broker: invalid configuration:\r\n":            {SeverityError, "broker: invalid configuration:"},
		"  BROKER_LISTEN: must be HOST:PORT\n":          {SeverityError, "  BROKER_LISTEN: must be HOST:PORT"},
		`{"level":"warn","path":"/a%20b%1"}` + "\n":     {SeverityWarning, `{"level":"warn","path":"/a\u002520b\u00251"}`},
		`{"level":"panic","msg":"of a library"}` + "\n": {SeverityError, `{"level":"panic","msg":"of a library"}`},
	} {
		if severity, text := eventFromLogLine(line); severity != want.severity || text != want.text {
			t.Errorf("%q: got %d, %q, want %d, %q", line, severity, text, want.severity, want.text)
		}
	}
}
