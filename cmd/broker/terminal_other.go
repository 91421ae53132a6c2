//go:build !unix

package main

import "os"

// forwardedSignals keeps Ctrl-C from ending the broker before COMMAND: the console sends it to both.
var forwardedSignals = []os.Signal{os.Interrupt}

// sentByTerminal is true for all signals that there are.
func sentByTerminal(os.Signal) bool { return true }

// isTerminal is false: no signal says that a console is gone.
func isTerminal(*os.File) bool { return false }
