package server

// The words of commands to paste, here into PowerShell, where curl is another command.
const (
	// CurlCommand is the name of curl.
	CurlCommand = "curl.exe"

	firstLineCommand  = "Get-Content -TotalCount 1"
	accessKeyVariable = "$env:BROKER_ACCESS_KEY"
)
