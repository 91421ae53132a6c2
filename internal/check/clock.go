package check

import (
	"cmp"
	"fmt"
	"net/http"
	"runtime"
	"time"
)

// maxClockSkew is the largest tolerated difference between the clocks. Certificates would tolerate more, but a token that
// is valid for minutes does not, and NTP keeps a clock right to a fraction of a second.
const maxClockSkew = time.Minute

// clockSkew is how far a server's clock is ahead of this machine's: the Date of its response, compared with the middle between
// request and response. A Date has no fraction of a second (RFC 9110 section 5.6.7), so on average it is half a second late. The
// result is nil if serverDate is not valid.
func clockSkew(serverDate string, sent, received time.Time) (serverAhead *time.Duration) {
	remote, err := http.ParseTime(serverDate)
	if err != nil {
		return nil
	}
	local := sent.Round(0).Add(received.Sub(sent) / 2)
	ahead := remote.Add(time.Second / 2).Sub(local)
	return &ahead
}

// checkClock runs the step that compares this machine's clock with the login server's.
func (p *serverProbe) checkClock() {
	result := Passed("in sync (within a minute)")
	switch skew := p.skew; {
	case skew == nil:
		result = Skipped(cmp.Or(p.down, "no Date from the login server"))
	case skew.Abs() > maxClockSkew:
		side := "behind"
		if *skew < 0 {
			side = "ahead of"
		}
		result = Failed(CauseMachine, "wrong-clock", fmt.Sprintf("this machine's clock is %v %s the login server's", skew.Abs().Round(time.Second), side),
			"Synchronise the clock ("+clockSyncCommand()+"; for a container or virtual machine, on its host). With a wrong clock, certificates and tokens look expired or not yet valid.")
	}
	p.finishStep(Step{Name: "clock", Target: hostPort(p.URL)}, time.Now(), result)
}

// clockSyncCommand returns the command that synchronises the clock.
func clockSyncCommand() string {
	if runtime.GOOS == "windows" {
		return "w32tm /resync"
	}
	return "timedatectl set-ntp true"
}
