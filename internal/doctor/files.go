package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// maxFiles is how many are named in the line. With hundreds of accounts nobody would read on.
const maxFiles = 4

// files looks whether the broker can read what it is to read, and whether others can too.
func (e *examination) files(ctx context.Context) {
	e.step(ctx, Step{Name: "files"}, func(context.Context) finding {
		if len(e.Accounts) == 0 {
			return finding{
				text:   "there is no account in ETRUSTED_ACCOUNTS_DIR",
				fault:  Configuration,
				advice: "Make a folder in it for each account, with the files client_id and client_secret.",
			}
		}
		var seen, wrong, warnings []string
		for _, file := range e.Files {
			mode, problem := look(file.Path)
			if problem != "" {
				e.wrong[file.Path] = true
				if file.Authorities && problem == notAFile {
					e.endless = file.Path
				}
				wrong = append(wrong, file.Path+" "+problem)
				continue
			}
			seen = append(seen, fmt.Sprintf("%s (%04o)", file.Path, mode))
			if mode, open := e.OpenToOthers(file.Path); file.Secret && open {
				warnings = append(warnings, fmt.Sprintf("%s (mode %04o) may be read by every user of this machine: take that away with chmod o-r", file.Path, mode))
			}
		}
		if len(wrong) > 0 {
			return finding{
				text:     some(wrong),
				fault:    Configuration,
				advice:   "Let the user that runs the broker read them: look at the mount, the owner and the mode, of the folders above too.",
				warnings: warnings,
			}
		}
		if len(seen) == 0 {
			return fine("there are none to look at: the credentials are in the environment")
		}
		return finding{text: some(seen), warnings: warnings}
	})
}

const notAFile = "is not a file"

// look returns a file's mode, or what is wrong with it.
func look(path string) (mode fs.FileMode, problem string) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return 0, notAFile // and to open a pipe could take for ever
	}
	if err == nil {
		var file *os.File
		if file, err = os.Open(path); err == nil { //nolint:gosec // G304: the operator's own configuration names the path.
			_ = file.Close() // that it may be read is all that was to be known
		}
	}
	switch {
	case err == nil:
		return info.Mode().Perm(), ""
	case errors.Is(err, fs.ErrNotExist):
		return 0, "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return 0, "may not be read by this user"
	default:
		return 0, "cannot be looked at"
	}
}

// some are the first of many.
func some(all []string) string {
	if more := len(all) - maxFiles; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(all[:maxFiles], ", "), more)
	}
	return strings.Join(all, ", ")
}
