//go:build !unix

package main

import "os"

// signalsCaughtByRun keep Ctrl-C from ending the broker before COMMAND: the console sends it to both.
var signalsCaughtByRun = []os.Signal{os.Interrupt}

// terminalSentToChildToo is true for all signals that there are.
func terminalSentToChildToo(os.Signal) bool { return true }

// isUnixTerminal is false: no signal says that a console is gone.
func isUnixTerminal(*os.File) bool { return false }
