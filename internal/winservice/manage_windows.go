package winservice

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

const (
	// Name is the name of the service and of its events' source.
	Name = "etrusted-broker"
	// Account is the virtual account that the service runs as. Windows creates it, without a password, with the service. It has
	// access only to what every service has access to, and to what is granted to it.
	Account = `NT SERVICE\` + Name

	restartDelay       = 5 * time.Second
	failureResetPeriod = 24 * time.Hour // without a failure, after which Windows counts from the start
	pollInterval       = 100 * time.Millisecond
)

// Install creates the service and sets it to start with Windows. It does not start it. Windows restarts it after a crash, but not after
// an end that it has reported, as after a stop or an invalid configuration. executable is an absolute path; args are the arguments with
// which it calls Run. A shutdown of Windows waits for the service at most shutdownTime.
func Install(executable string, args []string, shutdownTime time.Duration) error {
	return withManager(func(m *mgr.Mgr) error {
		s, err := m.CreateService(Name, executable, mgr.Config{
			StartType:        mgr.StartAutomatic,
			ErrorControl:     mgr.ErrorNormal,
			ServiceStartName: Account,
			DisplayName:      Name,
			Description:      "Adds the OAuth access token to requests for the eTrusted API.",
		}, args...)
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }() // nothing is buffered
		if err := configureRecoveryShutdownAndEvents(s, shutdownTime); err != nil {
			_ = s.Delete() // rather than leave half of it
			return err
		}
		return nil
	})
}

// configureRecoveryShutdownAndEvents sets what CreateService does not.
func configureRecoveryShutdownAndEvents(s *mgr.Service, shutdownTime time.Duration) error {
	if err := s.SetRecoveryActions([]mgr.RecoveryAction{{Type: mgr.ServiceRestart, Delay: restartDelay}}, uint32(failureResetPeriod/time.Second)); err != nil {
		return fmt.Errorf("cannot set the recovery options: %w", err)
	}
	// Without PRESHUTDOWN, Windows shuts down after 5 s.
	timeout := milliseconds(shutdownTime)
	info := (*byte)(unsafe.Pointer(&timeout)) //nolint:gosec // SERVICE_PRESHUTDOWN_INFO has only this field
	if err := windows.ChangeServiceConfig2(s.Handle, windows.SERVICE_CONFIG_PRESHUTDOWN_INFO, info); err != nil {
		return fmt.Errorf("cannot set the time for a shutdown: %w", err)
	}
	_ = eventlog.Remove(Name) // of an earlier installation
	if err := eventlog.InstallAsEventCreate(Name, eventlog.Error|eventlog.Warning|eventlog.Info); err != nil {
		return fmt.Errorf("cannot add the source of events: %w", err)
	}
	return nil
}

// Remove stops the service and removes it. Its events stay.
func Remove(ctx context.Context) error {
	return withService(func(s *mgr.Service) error {
		if err := stop(ctx, s); err != nil {
			return err
		}
		if err := s.Delete(); err != nil {
			return err
		}
		return eventlog.Remove(Name)
	})
}

// Start starts the service, and returns once it accepts connections.
func Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return withService(func(s *mgr.Service) error {
		var state svc.State
		err := s.Start()
		if err == nil {
			state, err = waitUntil(ctx, s, func(state svc.State) bool { return state != svc.StartPending })
		}
		switch {
		case errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING):
			return nil
		case errors.Is(err, windows.ERROR_SERVICE_REQUEST_TIMEOUT), errors.Is(err, context.DeadlineExceeded), err == nil && state != svc.Running:
			return errors.New("the service does not run; its events say why: Get-WinEvent -ProviderName " + Name + " -MaxEvents 9")
		default:
			return err
		}
	})
}

// Stop stops the service, and returns once the requests in flight have ended.
func Stop(ctx context.Context) error {
	return withService(func(s *mgr.Service) error { return stop(ctx, s) })
}

func stop(ctx context.Context, s *mgr.Service) error {
	_, err := s.Control(svc.Stop)
	if err == nil { // right after the request, the state may still be svc.Running
		_, err = waitUntil(ctx, s, func(state svc.State) bool { return state == svc.Stopped })
	}
	if errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return nil
	}
	return err
}

// waitUntil waits until isWanted accepts the state of the service, and returns it.
func waitUntil(ctx context.Context, s *mgr.Service, isWanted func(svc.State) bool) (svc.State, error) {
	for {
		status, err := s.Query()
		if err != nil || isWanted(status.State) {
			return status.State, err
		}
		select {
		case <-ctx.Done():
			return status.State, ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

func withService(do func(*mgr.Service) error) error {
	return withManager(func(m *mgr.Mgr) error {
		s, err := m.OpenService(Name)
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }() // nothing is buffered
		return do(s)
	})
}

// withManager connects to the service control manager. It says what to do about usual errors, which Windows words in its own language.
func withManager(do func(*mgr.Mgr) error) error {
	m, err := mgr.Connect()
	if err == nil {
		defer func() { _ = m.Disconnect() }() // nothing is buffered
		err = do(m)
	}
	switch {
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return errors.New("access denied: run it in a terminal that was opened with \"Run as administrator\"")
	case errors.Is(err, windows.ERROR_SERVICE_EXISTS):
		return errors.New("the service is installed already: 'service remove' removes it")
	case errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST):
		return errors.New("the service is not installed: see 'service install'")
	case errors.Is(err, windows.ERROR_SERVICE_LOGON_FAILED):
		return errors.New("the account may not log on: a policy may have removed the right \"Log on as a service\" of NT SERVICE\\ALL SERVICES")
	case errors.Is(err, windows.ERROR_SERVICE_MARKED_FOR_DELETE):
		return errors.New("the service is being removed: close the windows that show it, such as services.msc, and try again")
	default:
		return err
	}
}
