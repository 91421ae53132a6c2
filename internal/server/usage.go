package server

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/tokensource"
)

// Usage returns how apps on this machine call the broker on one of its listeners.
func Usage(c config.Config, app net.Listener) admin.Usage {
	address := LocalAddress(app)
	curl, url := Curl, "http://"+address
	if app.Addr().Network() == "unix" {
		curl, url = Curl+" --unix-socket "+address, "http://localhost"
	}
	if c.TLSCertFile != "" {
		curl, url = curl+" --cacert "+c.TLSCertFile, strings.Replace(url, "http:", "https:", 1)
	}
	if c.TLSClientCAFile != "" {
		curl += " --cert CERTIFICATE --key KEY"
	}
	return admin.Usage{API: c.APIURL, URL: url, Curl: curl + CurlAccessKeyOption(c)}
}

// LocalAddress returns the address at which programs on this machine reach a listener.
func LocalAddress(l net.Listener) string {
	address := l.Addr().String()
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() { // not an address that every client accepts
		address = "localhost" + address[strings.LastIndex(address, ":"):]
	}
	return address
}

// callerPlaceholder stands for the name of a caller.
const callerPlaceholder = "CALLER"

// CurlAccessKeyOption returns the option, with a space in front, with which curl in a shell sends the access key; empty without one. It
// names the key's file or variable and never contains the key.
func CurlAccessKeyOption(c config.Config) string {
	switch {
	case c.CallersDir != "":
		return keyFileOption(filepath.Join(c.CallersDir, callerPlaceholder, "key"))
	case c.AccessKeyFile != "":
		return keyFileOption(c.AccessKeyFile)
	case !c.AccessKey.Equal(tokensource.Secret{}):
		return ` -H "Authorization: Bearer ` + accessKeyVariable + `"`
	default:
		return ""
	}
}

func keyFileOption(path string) string {
	return fmt.Sprintf(` -H "Authorization: Bearer $(%s %s)"`, firstLine, path)
}
