package localca

import (
	_ "embed" // for the instructions
	"strings"
)

// trustInstructionsTemplate has lines that were each tested with a real client. Most settings replace the CAs that an app trusts,
// so they get a bundle of all. ca.crt comes first in it, because the last line of a bundle may lack its line break.
//
//go:embed trust.txt
var trustInstructionsTemplate string

// AppTrustInstructions returns instructions for making individual apps trust the CA certificate at path. The commands are
// for a POSIX shell and assume that the broker listens on its default address.
func AppTrustInstructions(certificatePath string) string {
	quoted := "'" + strings.ReplaceAll(certificatePath, "'", `'\''`) + "'" // one shell word, whatever characters it contains
	return strings.ReplaceAll(trustInstructionsTemplate, "{path}", quoted)
}
