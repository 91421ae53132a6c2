package server

import "testing"

func TestLimitsTunnels(t *testing.T) {
	t.Parallel()
	if newTunnels(nil, nil, 16, nil) != nil {
		t.Fatal("got tunnels without a CA, want none")
	}
	limited := &tunnels{slots: make(chan struct{}, 2), listener: newHandover(), room: 2}
	first, ok1 := limited.Reserve()
	_, ok2 := limited.Reserve()
	_, ok3 := limited.Reserve()
	if !ok1 || !ok2 || ok3 {
		t.Fatalf("got slots %t, %t, %t, want true, true, false", ok1, ok2, ok3)
	}
	first(nil, "", nil)
	if _, ok := limited.Reserve(); !ok {
		t.Error("got no slot after a tunnel failed, want its slot")
	}
}
