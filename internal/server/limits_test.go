package server

import (
	"math"
	"testing"
)

func TestLimitsFitDescriptors(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[int]connectionLimits{
		0: {4, 4, 4}, 64: {4, 4, 4}, 256: {68, 16, 64}, 1024: {332, 64, 256}, 4096: {1868, 64, 256},
		4456: {2048, 64, 256}, 20000: {2048, 64, 256}, 1 << 20: {2048, 64, 256},
	} {
		got := limitsFor(descriptors, math.MaxInt64, memoryPerAppConnection)
		if got != want {
			t.Errorf("%d descriptors: got %+v, want %+v", descriptors, got, want)
		}
		if used := 2*got.app + got.admin + got.idle + reservedDescriptors; descriptors >= 128 && used > descriptors {
			t.Errorf("%d descriptors: the limits allow %d, want at most as many as there are", descriptors, used)
		}
	}
}

func TestConnectionLimitFollowsMemory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		descriptors, megabytes, want int
	}{
		{20000, 0, 64}, {20000, 32, 64}, {20000, 56, 96}, {20000, 112, 320}, {20000, 224, 768},
		{20000, 543, 2044}, {20000, 544, 2048}, {20000, 1 << 20, 2048}, {256, 112, 68}, {64, 112, 4},
	} {
		if got := limitsFor(test.descriptors, int64(test.megabytes)<<20, memoryPerAppConnection).app; got != test.want {
			t.Errorf("%d descriptors and %d MiB: got %d connections, want %d", test.descriptors, test.megabytes, got, test.want)
		}
	}
}
