// Package windows runs the broker's program on Windows: as a process of a console, and as a service. Elsewhere, TestUnderWine of
// package e2e runs these tests under Wine.
//
// The tests of the service install one on this machine, and so need E2E_SERVICE=required and an administrator. BROKER_BINARY names a
// program to use; otherwise the tests build it.
package windows
