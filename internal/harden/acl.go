package harden

import (
	"crypto/sha1" //nolint:gosec // Windows derives the SID of a service with it
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// accessEntry is an entry of the access control list of a file on Windows.
type accessEntry struct {
	deny bool
	mask uint32 // the rights
	sid  string // of a user or a group
}

// The rights to read a file's content: FILE_READ_DATA, GENERIC_ALL and GENERIC_READ.
const readRights = 0x1 | 0x1000_0000 | 0x8000_0000

// The SIDs that have the same value on every machine. Names of groups depend on the language of Windows, so commands use these.
const (
	systemSID         = "S-1-5-18"
	administratorsSID = "S-1-5-32-544"
	creatorOwnerSID   = "S-1-3-0" // is no user: new files get an entry for their owner instead
	ownerRightsSID    = "S-1-3-4" // limits what the owner may do
)

// readersInACL returns the SIDs, each once, of those who can read a file, except for trusted ones. The entries are in the order in
// which Windows evaluates them. It does not find out who is a member of a group.
func readersInACL(entries []accessEntry, trustedSIDs ...string) (readerSIDs []string) {
	decided := append(trustedSIDs, systemSID, administratorsSID, creatorOwnerSID, ownerRightsSID)
	for _, entry := range entries {
		if entry.mask&readRights == 0 || slices.Contains(decided, entry.sid) {
			continue
		}
		if decided = append(decided, entry.sid); !entry.deny {
			readerSIDs = append(readerSIDs, entry.sid)
		}
	}
	return readerSIDs
}

// aclRepairCommand returns the command, for cmd.exe and PowerShell, that lets only SYSTEM, the administrators and one more account
// read a file. It removes inherited entries; otherSIDs are the SIDs that may have an entry of their own, which it removes too.
func aclRepairCommand(path, icaclsGrant string, otherSIDs []string) string {
	command := fmt.Sprintf(`icacls "%s" /inheritance:r /grant:r "*%s:F" "*%s:F" "%s"`, path, systemSID, administratorsSID, icaclsGrant)
	if len(otherSIDs) > 0 {
		command += ` /remove:g "*` + strings.Join(otherSIDs, `" "*`) + `"`
	}
	return command
}

// serviceSID returns the SID of the virtual account of a service.
func serviceSID(name string) string {
	var encoded []byte
	for _, unit := range utf16.Encode([]rune(strings.ToUpper(name))) {
		encoded = binary.LittleEndian.AppendUint16(encoded, unit)
	}
	sum, sid := sha1.Sum(encoded), "S-1-5-80" //nolint:gosec // see the import
	for part := range slices.Chunk(sum[:], 4) {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(part))
	}
	return sid
}
