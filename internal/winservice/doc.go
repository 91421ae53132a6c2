// Package winservice installs and runs the broker as a Windows service, under a virtual account, with its log in the event log.
// Except for how log lines are converted, it exists only on Windows.
package winservice
