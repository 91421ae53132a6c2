package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"etrusted-broker/internal/server"
	"etrusted-broker/internal/winservice"
)

func platformCommands() []command {
	return []command{{"service", "install, remove, start or stop the Windows service; install needs -env-file FILE", true, serviceCommand}}
}

// serviceRunAction is how Windows starts the service: a parent that is services.exe would not prove that it is Windows.
const serviceRunAction = "run"

var serviceActions = map[string]func(context.Context, *invocation) error{
	"install": installService,
	"remove":  func(ctx context.Context, _ *invocation) error { return winservice.Remove(ctx) },
	"start":   func(ctx context.Context, _ *invocation) error { return winservice.Start(ctx) },
	"stop":    func(ctx context.Context, _ *invocation) error { return winservice.Stop(ctx) },
}

func serviceCommand(ctx context.Context, i *invocation) error {
	if len(i.args) > 0 && i.args[0] == serviceRunAction {
		i.args = i.args[1:]
		return i.runService()
	}
	var run func(context.Context, *invocation) error
	if at := slices.IndexFunc(i.args, func(arg string) bool { return serviceActions[arg] != nil }); at >= 0 {
		run = serviceActions[i.args[at]]
		i.name += " " + i.args[at] // for messages
		i.args = slices.Delete(slices.Clone(i.args), at, at+1)
	}
	if err := i.parseNoArgs(i.flags()); err != nil {
		return err
	}
	if run == nil {
		return exitError{exitUsageOrConfig, "say what to do: install, remove, start or stop"}
	}
	if err := run(ctx, i); err != nil {
		return err
	}
	printLine(i.stdout, "%s %s: done", i.program, i.name)
	return nil
}

// installService installs the service. It checks the configuration first: otherwise only the event log would have its errors.
func installService(_ context.Context, i *invocation) error {
	if len(i.envFiles) == 0 {
		return errors.New(`name the file with the variables, such as -env-file C:\ProgramData\etrusted-broker\broker.env`)
	}
	c, err := i.loadConfig()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"service", serviceRunAction}
	for _, file := range i.envFiles {
		if file, err = filepath.Abs(file); err != nil { // the service has another current directory
			return err
		}
		args = append(args, "-env-file", file)
	}
	return winservice.Install(program, args, c.ShutdownGrace+server.StopTimeBeyondGrace)
}

// runService is the process that Windows starts. Whatever it has to say is an event, also about its arguments.
func (i invocation) runService() error {
	return winservice.Run(func(ctx context.Context, log io.Writer, onRunning func(stopTime time.Duration)) int {
		i.stderr = log
		if err := i.parseNoArgs(i.flags()); err != nil {
			return i.reportError(err)
		}
		c, err := i.loadConfig()
		if err != nil {
			return i.reportError(err)
		}
		return i.reportError(i.serve(ctx, c, nil, func(server.Listeners) { onRunning(c.ShutdownGrace + server.StopTimeBeyondGrace) }))
	}, exitFailure)
}
