package harden

import (
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// serviceName is the name of the broker's service: see package winservice.
const serviceName = "etrusted-broker"

// ReadersBesidesBroker returns who besides the broker can read a secret file, and the command that prevents it. SYSTEM and the
// administrators always can; the broker runs as the account of its service, or if there is no service as the current user. Both
// are empty if no others can read the file, or if its access control list cannot be read.
func ReadersBesidesBroker(path string) (readers, repairCommand string) {
	descriptor, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return "", ""
	}
	sid, icaclsGrant := brokerAccount()
	others := readersInACL(accessEntries(descriptor), sid)
	if len(others) == 0 {
		return "", ""
	}
	var names []string
	for _, other := range others {
		names = append(names, lookupAccountName(other))
	}
	return strings.Join(names, ", "), aclRepairCommand(path, icaclsGrant, others)
}

// brokerAccount returns the account that needs the files, and what icacls must grant to it.
func brokerAccount() (sid, icaclsGrant string) {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Services\`+serviceName, registry.QUERY_VALUE)
	if err == nil {
		_ = key.Close() // nothing was written
		return serviceSID(serviceName), `NT SERVICE\` + serviceName + ":R"
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return systemSID, "*" + systemSID + ":F" // it has access in any case
	}
	sid = user.User.Sid.String()
	return sid, "*" + sid + ":F"
}

// accessEntries returns the entries of the access control list that concern the object itself.
func accessEntries(descriptor *windows.SECURITY_DESCRIPTOR) (entries []accessEntry) {
	list, _, err := descriptor.DACL()
	if err != nil || list == nil { // without a list, Windows lets everyone in
		return []accessEntry{{mask: readRights, sid: "S-1-1-0"}}
	}
	for i := range uint32(list.AceCount) {
		var entry *windows.ACCESS_ALLOWED_ACE // one that denies has the same fields
		if windows.GetAce(list, i, &entry) != nil {
			break
		}
		isAllow, isDeny := entry.Header.AceType == windows.ACCESS_ALLOWED_ACE_TYPE, entry.Header.AceType == windows.ACCESS_DENIED_ACE_TYPE
		if (isAllow || isDeny) && entry.Header.AceFlags&windows.INHERIT_ONLY_ACE == 0 {
			sid := (*windows.SID)(unsafe.Pointer(&entry.SidStart)) //nolint:gosec // the field is where the SID begins
			entries = append(entries, accessEntry{isDeny, uint32(entry.Mask), sid.String()})
		}
	}
	return entries
}

// lookupAccountName returns the name of a SID in the language of Windows, or the SID itself if it has none.
func lookupAccountName(sid string) string {
	if binary, err := windows.StringToSid(sid); err == nil {
		if name, domain, _, err := binary.LookupAccount(""); err == nil {
			return strings.TrimPrefix(domain+`\`+name, `\`)
		}
	}
	return sid
}
