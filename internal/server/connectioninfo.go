package server

import (
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// The words of commands to paste into a shell. On Windows that is PowerShell, where curl is another command.
var (
	// CurlCommand is the name of curl.
	CurlCommand            = shellWord("curl", "curl.exe")
	firstLineCommand       = shellWord("head -n 1", "Get-Content -TotalCount 1")
	accessKeyShellVariable = shellWord("$BROKER_ACCESS_KEY", "$env:BROKER_ACCESS_KEY")
)

func shellWord(posix, powerShell string) string {
	if runtime.GOOS == "windows" {
		return powerShell
	}
	return posix
}

// ConnectionInfoWithoutKey returns how apps on this machine call the broker on one of its listeners. Curl lacks the access key.
func ConnectionInfoWithoutKey(c config.Config, app net.Listener) admin.ConnectionInfo {
	curl, host := CurlCommand, LocalDialAddress(app)
	if app.Addr().Network() == "unix" {
		curl, host = CurlCommand+" --unix-socket "+host, "localhost"
	}
	if c.TLSCertFile != "" {
		curl += " --cacert " + c.TLSCertFile
	}
	if c.TLSClientCAFile != "" {
		curl += " --cert CERTIFICATE --key KEY"
	}
	return admin.ConnectionInfo{API: c.APIURL, URL: appListenerScheme(c) + "://" + host, Curl: curl}
}

// connectionInfoWithKey returns how apps call the broker, with an access key if they need one.
func (b *broker) connectionInfoWithKey() admin.ConnectionInfo {
	var callers []*access.Caller
	if b.callers != nil {
		callers = b.callers.current.Load().Callers
	}
	info := b.connectionInfo
	info.Curl += CurlAccessKeyOption(b.config, callers)
	return info
}

// LocalDialAddress returns the address at which programs on this machine reach a listener.
func LocalDialAddress(l net.Listener) (hostPortOrPath string) {
	address := l.Addr().String()
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() { // not an address that every client accepts
		address = "localhost" + address[strings.LastIndex(address, ":"):]
	}
	return address
}

// CurlAccessKeyOption returns the option, with a space in front, with which curl in a shell sends the access key; empty without one.
// It names the key's file or variable and never contains the key. With callers, the key is that of the first one that has a key, and
// whose access has not ended: the others are identified by their connection.
func CurlAccessKeyOption(c config.Config, callers []*access.Caller) string {
	for _, caller := range callers {
		if option := curlCallerKeyOption(c, caller); option != "" && !caller.HasExpired() {
			return option
		}
	}
	switch {
	case c.AccessKeyFile != "":
		return curlKeyFileOption(c.AccessKeyFile)
	case !c.AccessKey.Equal(tokensource.Secret{}):
		return ` -H "Authorization: Bearer ` + accessKeyShellVariable + `"`
	default:
		return ""
	}
}

func curlCallerKeyOption(c config.Config, caller *access.Caller) string {
	if caller.Keys == nil {
		return ""
	}
	return curlKeyFileOption(filepath.Join(c.CallersDir, caller.Name, "key"))
}

func curlKeyFileOption(path string) string {
	return fmt.Sprintf(` -H "Authorization: Bearer $(%s %s)"`, firstLineCommand, path)
}
