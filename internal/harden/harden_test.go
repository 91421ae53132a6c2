package harden_test

import (
	"cmp"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/harden"
)

// reading returns a reader of files that are given as a map.
func reading(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
}

func TestLowestCgroupMemoryLimit(t *testing.T) {
	t.Parallel()
	const v1, v2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
	for name, test := range map[string]struct {
		cgroups string
		files   map[string]string
		want    int64 // 0 if there is no limit
	}{
		"none":      {"", nil, 0},
		"no files":  {"0::/\n", nil, 0},
		"container": {"0::/\n", map[string]string{v2 + "/memory.max": "134217728\n"}, 128 << 20},
		"unit":      {"0::/system.slice/etrusted-broker.service\n", map[string]string{v2 + "/system.slice/etrusted-broker.service/memory.max": "134217728\n"}, 128 << 20},
		"unlimited": {"0::/a\n", map[string]string{v2 + "/a/memory.max": "max\n", v2 + "/memory.max": "max\n"}, 0},
		"ancestor is lower": {"0::/pod/broker\n", map[string]string{
			v2 + "/pod/broker/memory.max": "268435456\n", v2 + "/pod/memory.max": "134217728\n", v2 + "/memory.max": "max\n"}, 128 << 20},
		"ancestor is higher": {"0::/pod/broker\n", map[string]string{
			v2 + "/pod/broker/memory.max": "134217728\n", v2 + "/pod/memory.max": "268435456\n"}, 128 << 20},
		"only an ancestor is limited": {"0::/a/b/c\n", map[string]string{v2 + "/a/b/c/memory.max": "max\n", v2 + "/a/memory.max": "67108864\n"}, 64 << 20},
		"outside of the namespace":    {"0::/../../a\n", map[string]string{v2 + "/a/memory.max": "67108864\n"}, 64 << 20},

		"version 1":                         {"5:cpu,cpuacct:/\n4:memory:/docker/ab\n0::/\n", map[string]string{v1 + "/docker/ab/memory.limit_in_bytes": "134217728\n"}, 128 << 20},
		"version 1, unlimited":              {"4:memory:/\n", map[string]string{v1 + "/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"version 1, the host's path":        {"4:memory:/docker/ab\n", map[string]string{v1 + "/memory.limit_in_bytes": "134217728\n"}, 128 << 20},
		"version 1, with other controllers": {"4:cpu,memory:/a\n", map[string]string{v1 + "/a/memory.limit_in_bytes": "134217728\n"}, 128 << 20},
		"version 1, other controllers":      {"4:cpu:/\n5:memoryx:/\n", map[string]string{v1 + "/memory.limit_in_bytes": "134217728\n", v2 + "/memory.max": "1\n"}, 0},
		"both":                              {"4:memory:/a\n0::/b\n", map[string]string{v1 + "/a/memory.limit_in_bytes": "134217728\n", v2 + "/b/memory.max": "67108864\n"}, 64 << 20},

		"path with colons": {"0::/a:b:c\n", map[string]string{v2 + "/a:b:c/memory.max": "67108864\n"}, 64 << 20},
		"no line end":      {"0::/a", map[string]string{v2 + "/a/memory.max": "67108864"}, 64 << 20},
		"nonsense":         {"x\n::\n0:\n\n0::/a\n", map[string]string{v2 + "/a/memory.max": "67108864x\n", v2 + "/memory.max": ""}, 0},
		"zero":             {"0::/\n", map[string]string{v2 + "/memory.max": "0\n"}, 0},
		"negative":         {"0::/\n", map[string]string{v2 + "/memory.max": "-1\n"}, 0},
		"too large":        {"0::/\n", map[string]string{v2 + "/memory.max": "99999999999999999999\n"}, 0},
	} {
		want := cmp.Or(test.want, harden.Unlimited)
		if got := harden.CgroupMemoryLimit(test.cgroups, reading(test.files)); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

func FuzzCgroupMemoryLimit(f *testing.F) {
	f.Add("0::/a/b\n", "134217728\n")
	f.Add("4:memory:/docker/ab\n0::/\n", "max\n")
	f.Add("0::/../..\n4:cpu,memory:a//b/./c\n", "9223372036854771712")
	f.Fuzz(func(t *testing.T, cgroups, text string) {
		read := map[string]bool{}
		limit := harden.CgroupMemoryLimit(cgroups, func(name string) ([]byte, error) {
			read[name] = true
			return []byte(text), nil
		})
		for _, name := range slices.Sorted(maps.Keys(read)) {
			if !strings.HasPrefix(name, "/sys/fs/cgroup/") || strings.Contains(name, "/../") {
				t.Errorf("read %q, want a file of the control groups", name)
			}
		}
		if limit <= 0 || limit < harden.Unlimited && len(read) == 0 {
			t.Errorf("got %d of %d files, want a positive limit", limit, len(read))
		}
	})
}
