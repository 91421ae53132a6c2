package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"
)

// maxEnvFile is more than any file of variables has.
const maxEnvFile = 1 << 20

// ReadEnvFile reads variables from a file in the syntax of systemd's EnvironmentFile=, and returns them as os.Environ does. On
// Windows, where it separates the parts of a path, a backslash has no meaning of its own. The errors name the file and the line,
// and contain nothing that is in it.
func ReadEnvFile(path string) ([]string, error) {
	file, err := os.Open(path) //nolint:gosec // G304: the operator names the path.
	var content []byte
	if err == nil {
		defer func() { _ = file.Close() }() // only read from
		content, err = io.ReadAll(io.LimitReader(file, maxEnvFile+1))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: file not found", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: is not readable for this user: run the command as root, or change the owner or the mode of the file", path)
	case err != nil:
		return nil, fmt.Errorf("%s: cannot be read: it must be a file", path)
	case len(content) > maxEnvFile:
		return nil, fmt.Errorf("%s: is too large for a file of variables", path)
	}
	environ, err := parseEnvFile(content, runtime.GOOS != "windows")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return environ, nil
}

// parseEnvFile parses the content of a file of variables. It reads what systemd accepts in the same way, but returns an error for
// what systemd skips: a line that has no effect may have been meant to restrict access.
func parseEnvFile(content []byte, backslashEscapes bool) (environ []string, err error) {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")) // PowerShell's Set-Content -Encoding utf8 writes it
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return nil, errors.New("is UTF-16, which PowerShell's > writes: use Set-Content -Encoding utf8")
	}
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return nil, errors.New("is not UTF-8 text: save it as UTF-8, without formatting")
	}
	text := string(content)
	rest := text
	errorHere := func(message string) error {
		return fmt.Errorf("line %d: %s", 1+strings.Count(text[:len(text)-len(rest)], "\n"), message)
	}
	for {
		rest = strings.TrimLeft(rest, " \t\r\n")
		name, afterName := cutBeforeAny(rest, "=\r\n")
		name = strings.TrimRight(name, " \t")
		switch {
		case rest == "":
			return environ, nil
		case rest[0] == '#' || rest[0] == ';':
			_, rest = cutBeforeAny(rest, "\r\n")
			continue
		case !strings.HasPrefix(afterName, "="):
			return nil, errorHere("must be NAME=value, or begin with # if it is a comment")
		case strings.HasPrefix(name, "export "):
			return nil, errorHere("must be NAME=value, without export")
		case !isEnvName(name):
			return nil, errorHere("the name before = must consist of letters, digits and _")
		}
		value, afterValue, ok := parseEnvValue(afterName[1:], backslashEscapes)
		if !ok {
			return nil, errorHere("the quote that begins in this value does not end")
		}
		environ, rest = append(environ, name+"="+value), afterValue
	}
}

func isEnvName(text string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	return text != "" && strings.Trim(text, letters+"0123456789") == "" && strings.Contains(letters, text[:1])
}

// cutBeforeAny cuts a text before the first of the characters, or at its end.
func cutBeforeAny(text, characters string) (before, fromThere string) {
	if at := strings.IndexAny(text, characters); at >= 0 {
		return text[:at], text[at:]
	}
	return text, ""
}

// parseEnvValue parses quoted parts, which may have several lines, then perhaps one without quotes, in which a quote means nothing.
// It returns what is after the value, and false if a quote does not end.
func parseEnvValue(text string, backslashEscapes bool) (value, rest string, quotesEnd bool) {
	var b strings.Builder
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" || text[0] != '"' && text[0] != '\'' {
			rest = appendUnquoted(&b, text, backslashEscapes)
			return b.String(), rest, true
		}
		if text, quotesEnd = appendQuoted(&b, text[1:], text[0], backslashEscapes && text[0] == '"'); !quotesEnd {
			return "", "", false
		}
	}
}

// appendQuoted appends a text up to the quote, and returns what is after it, or false without a quote. escapes says whether a
// backslash escapes, as it does in double quotes.
func appendQuoted(value *strings.Builder, text string, quote byte, escapes bool) (rest string, quoteEnds bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			return text[i+1:], true
		case c == '\\' && escapes && i+1 < len(text):
			i++
			if strings.IndexByte("\"\\`$\n", text[i]) < 0 {
				value.WriteByte('\\') // escapes nothing
			}
			if text[i] != '\n' {
				value.WriteByte(text[i])
			}
		default:
			value.WriteByte(c)
		}
	}
	return "", false
}

// appendUnquoted appends a text up to the end of the line, without spaces before it, and returns what is after it. After a
// backslash, a line end continues the value.
func appendUnquoted(value *strings.Builder, text string, escapes bool) (rest string) {
	spaces := "" // are part of the value if something follows
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n' || c == '\r':
			return text[i:]
		case c == ' ' || c == '\t':
			spaces += string(c)
			continue
		case c == '\\' && escapes:
			if i++; i == len(text) {
				return ""
			}
			if c = text[i]; c == '\n' || c == '\r' { // before a line feed, a carriage return continues nothing
				continue
			}
		}
		value.WriteString(spaces)
		value.WriteByte(c)
		spaces = ""
	}
	return ""
}
