package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// programPatience is for a program that starts, Java's compiler first, and some requests in turn, on a machine that is
// busy with others of both.
const programPatience = time.Minute

// language is one that shops' code is written in, and how it is run here.
type language struct {
	name    string
	command []string
	works   func() bool
	// proxied and trusting have a program use a proxy, and trust the authority whose certificate is in the file.
	proxied  func(scheme, host, port string) setting
	trusting func(t *testing.T, file string) setting
}

// setting is what a program is given besides its own variables.
type setting struct {
	flags, environ []string
}

func (s setting) and(other setting) setting {
	return setting{append(s.flags[:len(s.flags):len(s.flags)], other.flags...), append(s.environ[:len(s.environ):len(s.environ)], other.environ...)}
}

var (
	php = &language{
		name: "php", command: []string{"php"},
		works:   runs("php", "-r", `exit(function_exists("curl_init") ? 0 : 1);`),
		proxied: byVariable,
		trusting: func(_ *testing.T, file string) setting {
			return setting{flags: []string{"-d", "curl.cainfo=" + file, "-d", "openssl.cafile=" + file}}
		},
	}
	node = &language{
		name: "node", command: []string{"node"},
		works:   runs("node", "-e", `process.exit(typeof fetch === "function" ? 0 : 1)`),
		proxied: byVariable,
		trusting: func(_ *testing.T, file string) setting {
			return setting{environ: []string{"NODE_EXTRA_CA_CERTS=" + file}}
		},
	}
	java = &language{
		// Run from their source, programs need the compiler. They are over before the better one of the JIT has paid.
		name: "java", command: []string{"java", "-XX:TieredStopAtLevel=1", "-Xshare:auto"},
		works: runs("javac", "--release", "11", "-version"), // the first with an HttpClient
		proxied: func(scheme, host, port string) setting {
			return setting{flags: []string{"-D" + scheme + ".proxyHost=" + host, "-D" + scheme + ".proxyPort=" + port}}
		},
		trusting: func(t *testing.T, file string) setting {
			store := filepath.Join(t.TempDir(), "truststore")
			output, err := exec.Command("keytool", "-importcert", "-noprompt", "-alias", "etrusted-broker",
				"-file", file, "-keystore", store, "-storepass", "changeit").CombinedOutput()
			if err != nil {
				t.Fatalf("keytool: %v\n%s", err, output)
			}
			return setting{flags: []string{"-Djavax.net.ssl.trustStore=" + store, "-Djavax.net.ssl.trustStorePassword=changeit"}}
		},
	}
	python = &language{
		name: "python", command: []string{"python3"},
		works:   runs("python3", "-c", "import ssl, urllib.request"),
		proxied: byVariable,
		trusting: func(_ *testing.T, file string) setting {
			return setting{environ: []string{"SSL_CERT_FILE=" + file}}
		},
	}
)

// byVariable sets the variable in both spellings: libcurl knows http_proxy in lower case alone.
func byVariable(scheme, host, port string) setting {
	name, proxy := scheme+"_proxy", "http://"+net.JoinHostPort(host, port)
	return setting{environ: []string{name + "=" + proxy, strings.ToUpper(name) + "=" + proxy}}
}

func runs(command string, arguments ...string) func() bool {
	return sync.OnceValue(func() bool { return exec.Command(command, arguments...).Run() == nil })
}

// need skips the test where there is no such language, so that it can be run with Go alone; but a run that is about it
// must not pass without it.
func (l *language) need(t *testing.T) {
	t.Helper()
	name := strings.ToUpper(l.name)
	missing := fmt.Sprintf("NO %s IN PATH that can do what shops' code does: that such code works with the broker is NOT TESTED", name)
	switch {
	case l.works():
	case os.Getenv("E2E_"+name) == "required":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// run runs a program to its end, and returns the first word of each line that it printed; an error, with all that it said,
// if it failed.
func (l *language) run(t *testing.T, file string, given setting) (words []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programPatience)
	defer cancel()
	arguments := append(append(l.command[1:len(l.command):len(l.command)], given.flags...), file)
	command := exec.CommandContext(ctx, l.command[0], arguments...)
	// A variable of whoever runs the tests, a proxy above all, must not be the program's.
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, given.environ...)
	command.WaitDelay = patience
	var output, errors bytes.Buffer
	command.Stdout, command.Stderr = &output, &errors
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", file, err, &output, &errors)
	}
	for line := range strings.Lines(output.String()) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		words = append(words, word)
	}
	return words, nil
}
