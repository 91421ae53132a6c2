package server

import "testing"

func TestReservesNoMoreTunnelsThanSlots(t *testing.T) {
	t.Parallel()
	if newTunnels(nil, nil, 16, nil) != nil {
		t.Fatal("got tunnels without a CA, want none")
	}
	tunnels := &tunnels{slots: make(chan struct{}, 2), listener: newConnListener(), maxActive: 2}
	for i, want := range []bool{true, true, false} {
		if got := tunnels.Reserve(); got != want {
			t.Fatalf("call %d of Reserve: got %v, want %v", i+1, got, want)
		}
	}
	tunnels.Release()
	if !tunnels.Reserve() {
		t.Error("got no slot after Release, want the released one")
	}
}
