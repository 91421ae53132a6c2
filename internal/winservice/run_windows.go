package winservice

import (
	"context"
	"io"
	"os"
	"time"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

const startTimeout = 30 * time.Second // more than the broker takes until it accepts connections

// Main is the program that the service runs, until ctx is done. It writes its log to log, and calls onRunning once it accepts
// connections, with the time that its end may take. It returns the exit code.
type Main func(ctx context.Context, log io.Writer, onRunning func(stopTime time.Duration)) (exitCode int)

// Run runs main as the service. Only a process that Windows has started as this service may call it. If main returns the exit code
// restartExitCode, Run ends the process, so that Windows restarts it. It reports every other exit code.
func Run(main Main, restartExitCode int) error {
	log, err := eventlog.Open(Name)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // nothing is buffered
	return svc.Run(Name, handler{main, restartExitCode, eventWriter{log}})
}

// handler implements svc.Handler.
type handler struct {
	main            Main
	restartExitCode int
	log             io.Writer
}

// Execute implements svc.Handler.
func (h handler) Execute(_ []string, requests <-chan svc.ChangeRequest, states chan<- svc.Status) (isSpecific bool, exitCode uint32) {
	states <- svc.Status{State: svc.StartPending, WaitHint: milliseconds(startTimeout)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	running, ended := make(chan time.Duration, 1), make(chan int, 1)
	go func() { ended <- h.main(ctx, h.log, func(stopTime time.Duration) { running <- stopTime }) }()
	var stopTime time.Duration
	for {
		select {
		case stopTime = <-running:
			// A shutdown of Windows sends PRESHUTDOWN first, and then waits as long as Install has set.
			states <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown | svc.AcceptPreShutdown}
		case code := <-ended:
			if code == h.restartExitCode {
				os.Exit(code) //nolint:forbidigo // Windows restarts only a service that has not reported its end
			}
			return true, uint32(code) //nolint:gosec // an exit code is not negative
		case request := <-requests:
			switch request.Cmd {
			case svc.Interrogate:
				states <- request.CurrentStatus
			case svc.Stop, svc.Shutdown, svc.PreShutdown:
				cancel()
				states <- svc.Status{State: svc.StopPending, WaitHint: milliseconds(stopTime)}
			}
		}
	}
}

func milliseconds(d time.Duration) uint32 { return uint32(d.Milliseconds()) } //nolint:gosec // some seconds

// eventWriter writes each line of the log as an event.
type eventWriter struct{ log *eventlog.Log }

// eventID is any of 1 to 1000: EventCreate.exe, whose message table the source uses, has only the text in all of them.
const eventID = 1

// Write implements io.Writer.
func (w eventWriter) Write(line []byte) (int, error) {
	severity, text := eventFromLogLine(string(line))
	report := w.log.Error
	switch severity {
	case zapcore.InfoLevel:
		report = w.log.Info
	case zapcore.WarnLevel:
		report = w.log.Warning
	}
	return len(line), report(eventID, text)
}
