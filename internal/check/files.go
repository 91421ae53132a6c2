package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// maxFiles bounds how many files one line lists; there may be hundreds of accounts.
const maxFiles = 4

// checkFiles checks that the broker can read its files, and that other users cannot read the secret ones.
func (c *checker) checkFiles(ctx context.Context) {
	c.runStep(ctx, Step{Name: "files"}, func(context.Context) Step {
		if len(c.Accounts) == 0 {
			return failed(CauseConfiguration, "there is no account in ETRUSTED_ACCOUNTS_DIR", "Create a directory for each account in it, with the files client_id and client_secret.")
		}
		var readable, unreadable, warnings []string
		for _, file := range c.Files {
			mode, problem := readableMode(file.Path)
			if problem != "" {
				c.unreadable[file.Path] = true
				if file.CABundle && problem == notRegular {
					c.blockingCAFile = file.Path
				}
				unreadable = append(unreadable, file.Path+" "+problem)
				continue
			}
			readable = append(readable, fmt.Sprintf("%s (%04o)", file.Path, mode))
			if mode, open := c.WorldReadable(file.Path); file.Secret && open {
				warnings = append(warnings, fmt.Sprintf("%s (mode %04o) is readable by every user of this machine: run chmod o-r on it", file.Path, mode))
			}
		}
		if len(unreadable) > 0 {
			result := failed(CauseConfiguration, joinFirst(unreadable), "Make them readable for the user that runs the broker. Check the mount, and owner and mode of the file and of the directories above it.")
			result.Warnings = warnings
			return result
		}
		if len(readable) == 0 {
			return passed("none: the credentials are in the environment")
		}
		return passed(joinFirst(readable), warnings...)
	})
}

const notRegular = "is not a regular file"

// readableMode returns a file's mode, or the problem if it cannot be read.
func readableMode(path string) (mode fs.FileMode, problem string) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return 0, notRegular // opening a pipe could block for ever
	}
	if err == nil {
		var file *os.File
		if file, err = os.Open(path); err == nil { //nolint:gosec // G304: the operator's own configuration names the path.
			_ = file.Close() // it is not read here
		}
	}
	switch {
	case err == nil:
		return info.Mode().Perm(), ""
	case errors.Is(err, fs.ErrNotExist):
		return 0, "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return 0, "is not readable for this user"
	default:
		return 0, "cannot be examined"
	}
}

// joinFirst joins the first maxFiles texts.
func joinFirst(all []string) string {
	if more := len(all) - maxFiles; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(all[:maxFiles], ", "), more)
	}
	return strings.Join(all, ", ")
}
