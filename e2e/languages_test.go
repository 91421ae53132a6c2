package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// programTimeout limits a program with a few requests in sequence. It is long because Java first compiles the program, on a
// machine that runs other programs.
const programTimeout = time.Minute

// language is a programming language that shops use, and how to run its programs.
type language struct {
	name      string
	command   []string
	program   string // its program in testdata
	installed func() bool
	packages  map[string]func() bool // whether libraries are installed that do not come with the language
	// useProxy makes a program use a proxy; trustCA makes it trust the CA certificate in the file.
	useProxy func(scheme, host, port string) programConfig
	trustCA  func(t *testing.T, file string) programConfig
}

// programConfig is a program's command-line flags and environment.
type programConfig struct {
	flags, env []string
}

func withFlags(flags ...string) programConfig { return programConfig{flags: flags} }
func withEnv(env ...string) programConfig     { return programConfig{env: env} }

// with returns c with the flags and variables of other added.
func (c programConfig) with(other programConfig) programConfig {
	return programConfig{slices.Concat(c.flags, other.flags), slices.Concat(c.env, other.env)}
}

var (
	php = &language{
		name: "php", command: []string{"php"}, program: "reviews.php",
		installed: exitsZero("php", "-r", `exit(function_exists("curl_init") ? 0 : 1);`),
		useProxy:  proxyVariables,
		trustCA: func(_ *testing.T, file string) programConfig {
			return withFlags("-d", "curl.cainfo="+file, "-d", "openssl.cafile="+file)
		},
	}
	node = &language{
		name: "node", command: []string{"node"}, program: "reviews.mjs",
		installed: exitsZero("node", "-e", `process.exit(typeof fetch === "function" ? 0 : 1)`),
		packages:  map[string]func() bool{"undici": exitsZero("node", "-e", `require("undici")`)},
		useProxy:  proxyVariables,
		trustCA:   func(_ *testing.T, file string) programConfig { return withEnv("NODE_EXTRA_CA_CERTS=" + file) },
	}
	java = &language{
		// The programs are run from source, and end before the optimising JIT compiler would pay off.
		name: "java", command: []string{"java", "-XX:TieredStopAtLevel=1", "-Xshare:auto"}, program: "Reviews.java",
		installed: exitsZero("javac", "--release", "11", "-version"), // the first version with HttpClient
		useProxy: func(scheme, host, port string) programConfig {
			return withFlags("-D"+scheme+".proxyHost="+host, "-D"+scheme+".proxyPort="+port)
		},
		trustCA: func(t *testing.T, file string) programConfig {
			store := filepath.Join(t.TempDir(), "truststore")
			if output, err := exec.Command("sh", interceptExamples+"/app/truststore.sh", file, store).CombinedOutput(); err != nil {
				t.Fatalf("truststore.sh: %v\n%s", err, output)
			}
			return withFlags("-Djavax.net.ssl.trustStore="+store, "-Djavax.net.ssl.trustStorePassword=changeit")
		},
	}
	python = &language{
		name: "python", command: []string{"python3"}, program: "reviews.py",
		installed: exitsZero("python3", "-c", "import ssl, urllib.request"),
		packages:  map[string]func() bool{"requests": exitsZero("python3", "-c", "import requests")},
		useProxy:  proxyVariables,
		trustCA: func(_ *testing.T, file string) programConfig {
			return withEnv("SSL_CERT_FILE="+file, "REQUESTS_CA_BUNDLE="+file)
		},
	}
	shell = &language{
		name: "shell", command: []string{"sh"}, program: "reviews.sh",
		installed: exitsZero("sh", "-c", "command -v curl && command -v wget"),
		useProxy:  proxyVariables,
		trustCA: func(t *testing.T, file string) programConfig {
			return withEnv("CURL_CA_BUNDLE="+file, "WGETRC="+tempFile(t, "ca_certificate = "+file+"\n"))
		},
	}
	phpFPM = &language{
		name: "php-fpm", command: []string{"sh", filepath.Join("testdata", "php-fpm.sh")}, program: "reviews.php",
		installed: exitsZero("sh", "-c", "command -v cgi-fcgi && for fpm in php-fpm /usr/sbin/php-fpm*; do command -v $fpm && exit; done; exit 1"),
		trustCA: func(t *testing.T, file string) programConfig {
			return withEnv("PHP_INI=" + tempFile(t, strings.ReplaceAll(documentedCode(t, "ini"), documentedBundle, file)))
		},
	}
)

// proxyVariables sets the proxy variable in both spellings: libcurl reads http_proxy only in lower case.
func proxyVariables(scheme, host, port string) programConfig {
	name, proxy := scheme+"_proxy", "http://"+net.JoinHostPort(host, port)
	return withEnv(name+"="+proxy, strings.ToUpper(name)+"="+proxy)
}

// exitsZero returns a function that reports whether the command succeeds. The command runs once.
func exitsZero(command string, arguments ...string) func() bool {
	return sync.OnceValue(func() bool { return exec.Command(command, arguments...).Run() == nil })
}

// need skips the test if the language is not installed, or fails it if E2E_NAME=required.
func (l *language) need(t *testing.T) {
	t.Helper()
	name := strings.ToUpper(strings.ReplaceAll(l.name, "-", "_"))
	if !l.installed() {
		skip(t, "E2E_"+name, "NO SUITABLE "+name+" IN PATH: that shops' programs in it work with the broker is NOT TESTED")
	}
}

// run runs a program and returns the first word of each line of its output. If the program fails, the error contains the
// whole output.
func (l *language) run(t *testing.T, file string, config programConfig) (words []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.command[0], slices.Concat(l.command[1:], config.flags, []string{file})...)
	// The program must not inherit variables of the test's environment, such as a proxy.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NODE_PATH=" + os.Getenv("NODE_PATH")}, config.env...)
	cmd.WaitDelay = brokertest.Timeout
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", file, err, &stdout, &stderr)
	}
	for line := range strings.Lines(stdout.String()) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		words = append(words, word)
	}
	return words, nil
}
