package admin

import (
	"fmt"
	"strings"
	"time"
)

// humanize writes a duration for people: as exact as they care for, and no more.
func humanize(d time.Duration) string {
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(1, d.Milliseconds()))
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return twoUnits(d, time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return twoUnits(d, time.Hour, "h", time.Minute, "min")
	default:
		return twoUnits(d, 24*time.Hour, "d", time.Hour, "h")
	}
}

func twoUnits(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	if rest := d % large / small; rest > 0 {
		return fmt.Sprintf("%d %s %d %s", d/large, largeName, rest, smallName)
	}
	return fmt.Sprintf("%d %s", d/large, largeName)
}

func plural(count uint64, thing string) string {
	if count == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", count, thing)
}

// times says how often, where once goes without saying.
func times(count int) string {
	if count <= 1 {
		return ""
	}
	return fmt.Sprintf(" %d times in a row", count)
}

// sentence makes a sentence of a text that is lower case as Go's errors are.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
