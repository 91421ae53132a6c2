package harden

import (
	"slices"
	"testing"
)

func TestReadersInACL(t *testing.T) {
	t.Parallel()
	const (
		full, modify, readExecute, read, writeOnly = 0x1f01ff, 0x1301bf, 0x1200a9, 0x120089, 0x120116

		everyone, users, alice = "S-1-1-0", "S-1-5-32-545", "S-1-5-21-1-2-3-1001"
	)
	broker := serviceSID("etrusted-broker")
	allow := func(sid string, mask uint32) accessEntry { return accessEntry{false, mask, sid} }
	deny := func(sid string, mask uint32) accessEntry { return accessEntry{true, mask, sid} }
	for name, test := range map[string]struct {
		entries []accessEntry
		want    []string
	}{
		"only trusted":                   {[]accessEntry{allow(systemSID, full), allow(administratorsSID, full), allow(broker, readExecute)}, nil},
		"as in ProgramData":              {[]accessEntry{allow(systemSID, full), allow(administratorsSID, full), allow(alice, full), allow(users, readExecute)}, []string{alice, users}},
		"everyone":                       {[]accessEntry{allow(everyone, read)}, []string{everyone}},
		"generic rights":                 {[]accessEntry{allow(everyone, 0x8000_0000), allow(users, 0x1000_0000)}, []string{everyone, users}},
		"several entries of one account": {[]accessEntry{allow(alice, modify), allow(alice, read)}, []string{alice}},
		"may only write":                 {[]accessEntry{allow(everyone, writeOnly)}, nil},
		"denied before":                  {[]accessEntry{deny(users, full), allow(users, read)}, nil},
		"denied after":                   {[]accessEntry{allow(users, read), deny(users, full)}, []string{users}},
		"denied to write":                {[]accessEntry{deny(users, writeOnly), allow(users, read)}, []string{users}},
		"owner":                          {[]accessEntry{allow(creatorOwnerSID, full), allow(ownerRightsSID, read)}, nil},
		"another service":                {[]accessEntry{allow(serviceSID("other"), read)}, []string{serviceSID("other")}},
		"no entry":                       {nil, nil},
	} {
		if got := readersInACL(test.entries, broker); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestACLRepairCommandKeepsBrokerAndAdministrators(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		others []string
		want   string
	}{
		{nil, `icacls "C:\a b\secret" /inheritance:r /grant:r "*S-1-5-18:F" "*S-1-5-32-544:F" "NT SERVICE\etrusted-broker:R"`},
		{[]string{"S-1-1-0", "S-1-5-32-545"}, `icacls "C:\a b\secret" /inheritance:r /grant:r "*S-1-5-18:F" "*S-1-5-32-544:F" "NT SERVICE\etrusted-broker:R" /remove:g "*S-1-1-0" "*S-1-5-32-545"`},
	} {
		if got := aclRepairCommand(`C:\a b\secret`, `NT SERVICE\etrusted-broker:R`, test.others); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// Known SIDs, as 'sc showsid NAME' prints them: of a service that every Windows has, and in any case of the letters.
func TestServiceSID(t *testing.T) {
	t.Parallel()
	const want = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
	for _, name := range []string{"TrustedInstaller", "trustedinstaller"} {
		if got := serviceSID(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
