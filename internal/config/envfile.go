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

// parseEnvFile parses the content of a file of variables. It accepts what systemd accepts and reads it in the same way, but returns
// an error for what systemd skips: a line that has no effect may have been meant to restrict access.
func parseEnvFile(content []byte, backslashEscapes bool) (environ []string, err error) {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")) // PowerShell's Set-Content -Encoding utf8 writes it
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return nil, errors.New("is UTF-16, which PowerShell's > writes: use Set-Content -Encoding utf8")
	}
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return nil, errors.New("is not UTF-8 text: save it as UTF-8, without formatting")
	}
	s := envScanner{rest: string(content), line: 1, escapes: backslashEscapes}
	for {
		s.skip(" \t\r\n")
		line := s.line
		switch {
		case s.rest == "":
			return environ, nil
		case s.rest[0] == '#' || s.rest[0] == ';':
			s.until("\r\n")
			continue
		}
		name := strings.TrimRight(s.until("=\r\n"), " \t")
		switch {
		case !strings.HasPrefix(s.rest, "="):
			return nil, fmt.Errorf("line %d: must be NAME=value, or begin with # if it is a comment", line)
		case strings.HasPrefix(name, "export "):
			return nil, fmt.Errorf("line %d: must be NAME=value, without export", line)
		case !isEnvName(name):
			return nil, fmt.Errorf("line %d: the name before = must consist of letters, digits and _", line)
		}
		s.next()
		value, ok := s.value()
		if !ok {
			return nil, fmt.Errorf("line %d: the quote that begins in this value does not end", line)
		}
		environ = append(environ, name+"="+value)
	}
}

// isEnvName reports whether a text is the name of a variable.
func isEnvName(text string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	return text != "" && strings.Trim(text, letters+"0123456789") == "" && strings.Contains(letters, text[:1])
}

// envScanner reads a file of variables from its beginning to its end.
type envScanner struct {
	rest    string
	line    int // of the first byte in rest
	escapes bool
}

// next removes the first byte and returns it.
func (s *envScanner) next() byte {
	c := s.rest[0]
	s.rest = s.rest[1:]
	if c == '\n' {
		s.line++
	}
	return c
}

// skip removes what consists of the given characters.
func (s *envScanner) skip(characters string) {
	for s.rest != "" && strings.IndexByte(characters, s.rest[0]) >= 0 {
		s.next()
	}
}

// until removes what is before the first of the given characters, and returns it. There is no line end in it.
func (s *envScanner) until(characters string) string {
	end := strings.IndexAny(s.rest, characters)
	if end < 0 {
		end = len(s.rest)
	}
	text := s.rest[:end]
	s.rest = s.rest[end:]
	return text
}

// value reads what is after the equals sign: quoted parts, then perhaps one without quotes, in which a quote has no meaning. It
// returns false if a quote does not end.
func (s *envScanner) value() (string, bool) {
	var value strings.Builder
	for {
		s.skip(" \t")
		if s.rest == "" || s.rest[0] != '"' && s.rest[0] != '\'' {
			s.unquoted(&value)
			return value.String(), true
		}
		if !s.quoted(&value) {
			return "", false
		}
	}
}

// quoted reads a quoted part, which may have several lines, and reports whether it ends.
func (s *envScanner) quoted(value *strings.Builder) bool {
	quote := s.next()
	for s.rest != "" {
		c := s.next()
		switch {
		case c == quote:
			return true
		case c == '\\' && quote == '"' && s.escapes && s.rest != "":
			switch escaped := s.next(); {
			case strings.IndexByte("\"\\`$", escaped) >= 0:
				value.WriteByte(escaped)
			case escaped != '\n':
				value.WriteByte('\\')
				value.WriteByte(escaped)
			}
		default:
			value.WriteByte(c)
		}
	}
	return false
}

// unquoted reads up to the end of the line, without spaces before it. After a backslash, a line end continues the value.
func (s *envScanner) unquoted(value *strings.Builder) {
	spaces := "" // are part of the value if something follows
	for s.rest != "" {
		c := s.next()
		switch {
		case c == '\n' || c == '\r':
			return
		case c == ' ' || c == '\t':
			spaces += string(c)
			continue
		case c == '\\' && s.escapes:
			if s.rest == "" {
				return
			}
			if c = s.next(); c == '\n' || c == '\r' { // before a line feed, a carriage return continues nothing
				continue
			}
		}
		value.WriteString(spaces)
		value.WriteByte(c)
		spaces = ""
	}
}
