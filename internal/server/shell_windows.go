package server

// The words of commands to paste, here into PowerShell, which has a command of its own under the name curl.
const (
	// Curl is the name of curl.
	Curl = "curl.exe"

	firstLine         = "Get-Content -TotalCount 1"
	accessKeyVariable = "$env:BROKER_ACCESS_KEY"
)
