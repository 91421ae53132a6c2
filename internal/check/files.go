package check

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"
)

// FileToTest is one that the broker reads.
type FileToTest struct {
	Path   string
	Secret bool // should not be world-readable
}

// maxListItems bounds how many files, addresses or names a line lists; there may be hundreds of accounts.
const maxListItems = 8

// checkFiles checks that the broker can read its files, and that other users cannot read the secret ones.
func (c *checker) checkFiles() {
	began := time.Now()
	var readable, problems, warnings []string
	unusable := map[string]bool{} // reading a pipe would block
	for _, file := range c.Files {
		if problem := TextFileProblem(file.Path); problem != "" {
			unusable[file.Path] = true
			problems = append(problems, problem)
			continue
		}
		description := file.Path
		if info, err := os.Stat(file.Path); err == nil && runtime.GOOS != "windows" { // there, the mode does not control access
			description += fmt.Sprintf(" (%04o)", info.Mode().Perm())
		}
		readable = append(readable, description)
		if readers, repair := c.OtherReaders(file.Path); file.Secret && readers != "" {
			warnings = append(warnings, fmt.Sprintf("%s is readable for others on this machine, %s: run %s", file.Path, readers, repair))
		}
	}
	for _, account := range c.Accounts {
		if unusable[account.Credentials.ID.File] || unusable[account.Credentials.Secret.File] {
			continue
		}
		set, err := account.Credentials.Read()
		if err != nil {
			problems = append(problems, strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		c.sets[account.Name] = set
		c.redact.addSecret(set.ID.Reveal())
		c.redact.addSecret(set.Secret.Reveal())
	}
	result := Passed(cmp.Or(joinFirstAndMore(readable), "none: the credentials are in the environment"), warnings...)
	switch {
	case len(c.Accounts) == 0:
		result = Failed(CauseConfiguration, "no-account", "there is no account in ETRUSTED_ACCOUNTS_DIR", "Create a directory for each account in it, with the files client_id and client_secret.")
	case len(problems) > 0:
		advice := "Correct the file or the path to it. The user that runs the broker must be able to read it: check the mount, and owner and mode of the file and of the directories above it."
		if runtime.GOOS == "windows" {
			advice = `Correct the file or the path to it. The account that runs the broker must be able to read it: icacls FILE shows who can, and icacls FILE /grant "NT SERVICE\etrusted-broker:R" lets the service.`
		}
		result = Failed(CauseConfiguration, "unusable-file", joinFirstAndMore(problems), advice)
		result.Warnings = warnings
	}
	c.finishStep(Step{Name: "files"}, began, result)
}

// TextFileProblem says why the broker cannot use a text file, or returns "" if nothing is known against it. It never blocks. It
// names a path that does not exist only if its directory does: otherwise the path may be a misplaced secret.
func TextFileProblem(path string) (problem string) {
	info, err := os.Stat(path)
	part, isDirectory := nearestExistingParent(path)
	switch {
	case err != nil && part == "":
		return "file not found (the path is hidden, it may be the secret)"
	case err != nil && (!isDirectory || part != filepath.Dir(filepath.Clean(path))):
		return "file not found: this user can see only " + part + " of its path (the rest is hidden, it may be the secret)"
	case errors.Is(err, fs.ErrNotExist):
		return path + " does not exist"
	case err != nil:
		return path + " cannot be reached: this user may not enter the directory"
	case !info.Mode().IsRegular():
		return path + " is not a regular file" // opening a pipe could block for ever
	}
	file, err := os.Open(path) //nolint:gosec // G304: the operator's own configuration names the path.
	if err != nil {
		return path + " is not readable for this user" + describeOwnerAndProcessUser(info)
	}
	defer func() { _ = file.Close() }() // only read from
	mark := make([]byte, 2)
	if _, err := file.Read(mark); err == nil && (string(mark) == "\xff\xfe" || string(mark) == "\xfe\xff") {
		return path + " is UTF-16, which PowerShell's > writes: use Set-Content -Encoding utf8"
	}
	return ""
}

// describeOwnerAndProcessUser compares mode and owner of a file with the user of this process, where files have them; empty
// elsewhere. In package syscall, the type of info.Sys differs from system to system, but on each Unix it has these fields.
func describeOwnerAndProcessUser(info fs.FileInfo) (suffix string) {
	system := reflect.Indirect(reflect.ValueOf(info.Sys()))
	if system.Kind() != reflect.Struct || !system.FieldByName("Uid").IsValid() {
		return ""
	}
	return fmt.Sprintf(": its mode is %04o, it belongs to uid %v and gid %v, and this process runs as uid %d and gid %d",
		info.Mode().Perm(), system.FieldByName("Uid"), system.FieldByName("Gid"), os.Geteuid(), os.Getegid())
}

// nearestExistingParent returns the deepest directory of a path that exists; empty if that is only the root or the working
// directory, which contain every path, so they would reveal nothing about it but also prove nothing.
func nearestExistingParent(path string) (parent string, isDirectory bool) {
	for parent = filepath.Dir(filepath.Clean(path)); parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
		if info, err := os.Stat(parent); err == nil {
			return parent, info.IsDir()
		}
	}
	return "", false
}

// firstAndMore returns the first texts, at most maxListItems, and how many more there are.
func firstAndMore(all []string) []string {
	if more := len(all) - maxListItems; more > 0 {
		return append(slices.Clone(all[:maxListItems]), fmt.Sprintf("and %d more", more))
	}
	return all
}

func joinFirstAndMore(all []string) string { return strings.Join(firstAndMore(all), ", ") }
