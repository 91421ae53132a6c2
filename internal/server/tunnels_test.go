package server

import "testing"

func TestLimitsTunnels(t *testing.T) {
	t.Parallel()
	if newTunnels(nil, nil, 16, nil) != nil {
		t.Fatal("got tunnels without a CA, want none")
	}
	tunnels := &tunnels{slots: make(chan struct{}, 2), listener: newHandover(), room: 2}
	first, ok1 := tunnels.Reserve()
	_, ok2 := tunnels.Reserve()
	_, ok3 := tunnels.Reserve()
	if !ok1 || !ok2 || ok3 {
		t.Fatalf("got slots %t, %t, %t, want true, true, false", ok1, ok2, ok3)
	}
	first(nil, "", nil)
	if _, ok := tunnels.Reserve(); !ok {
		t.Error("got no slot after a tunnel failed, want its slot")
	}
}
