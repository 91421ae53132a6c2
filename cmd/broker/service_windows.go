package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"etrusted-broker/internal/server"
	"etrusted-broker/internal/winservice"
)

func systemCommands() []command {
	return []command{{serviceCommandName, "install, remove, start or stop the Windows service; install needs -env-file FILE", true, serviceCommand}}
}

// serviceRun is the action with which Windows starts the service. A parent that is services.exe would not prove that it is Windows.
const serviceRun = "run"

// serviceActions are the others.
var serviceActions = map[string]func(context.Context, invocation) error{
	"install": installService,
	"remove":  func(ctx context.Context, _ invocation) error { return winservice.Remove(ctx) },
	"start":   func(ctx context.Context, _ invocation) error { return winservice.Start(ctx) },
	"stop":    func(ctx context.Context, _ invocation) error { return winservice.Stop(ctx) },
}

// errInvalidConfig means that the problems of the configuration have been printed.
var errInvalidConfig = errors.New("invalid configuration")

func serviceCommand(ctx context.Context, i invocation) int {
	if len(i.args) > 0 && i.args[0] == serviceRun {
		i.args = i.args[1:]
		return i.runService()
	}
	name := ""
	if at := slices.IndexFunc(i.args, func(arg string) bool { return serviceActions[arg] != nil }); at >= 0 {
		name, i.args = i.args[at], slices.Delete(slices.Clone(i.args), at, at+1)
	}
	flags := i.flags(strings.TrimSpace(serviceCommandName + " " + name))
	if code, ok := i.parseNoArgs(flags); !ok {
		return code
	}
	if name == "" {
		printLine(i.stderr, "%s: say what to do: install, remove, start or stop", flags.Name())
		return exitConfig
	}
	switch err := serviceActions[name](ctx, i); {
	case errors.Is(err, errInvalidConfig):
		return exitConfig
	case err != nil:
		printLine(i.stderr, "%s: %v", flags.Name(), err)
		return exitFailure
	}
	printLine(i.stdout, "%s: done", flags.Name())
	return exitOK
}

// installService installs the service with the files of variables. An invalid configuration is an error now, rather than one that
// only the event log has.
func installService(_ context.Context, i invocation) error {
	if len(i.envFiles) == 0 {
		return errors.New(`name the file with the variables, such as -env-file C:\ProgramData\etrusted-broker\broker.env`)
	}
	c, ok := i.loadConfig()
	if !ok {
		return errInvalidConfig
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{serviceCommandName, serviceRun}
	for _, file := range i.envFiles {
		if file, err = filepath.Abs(file); err != nil { // the service has another current directory
			return err
		}
		args = append(args, "-env-file", file)
	}
	return winservice.Install(winservice.Config{Executable: program, Args: args, ShutdownTime: c.ShutdownGrace + server.StopMargin})
}

// runService is the process that Windows starts. Whatever it has to say is an event, also about its arguments.
func (i invocation) runService() int {
	err := winservice.Run(func(ctx context.Context, log io.Writer, running func(stopTime time.Duration)) int {
		i.stderr = log
		if code, ok := i.parseNoArgs(i.flags(serviceCommandName)); !ok {
			return code
		}
		c, ok := i.loadConfig()
		if !ok {
			return exitConfig
		}
		return i.serve(ctx, c, nil, func(server.Listeners) { running(c.ShutdownGrace + server.StopMargin) })
	}, exitFailure)
	if err != nil {
		printLine(i.stderr, "%s %s: %v", i.program, serviceCommandName, err)
		return exitFailure
	}
	return exitOK
}
