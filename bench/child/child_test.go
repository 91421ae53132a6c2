package child

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

const testRole = "as-adder"

// The test's own executable is the child, as the benchmark's is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == testRole {
		input, output := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
		for {
			if Serve(input, output, add) != nil {
				return
			}
		}
	}
	os.Exit(m.Run())
}

func add(numbers []int) (int, error) {
	if len(numbers) == 0 {
		return 0, errors.New("nothing to add")
	}
	sum := 0
	for _, n := range numbers {
		sum += n
	}
	return sum, nil
}

func TestCallReturnsResultOrError(t *testing.T) {
	c, err := Start(context.Background(), testRole)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, numbers := range [][]int{{1, 2}, {39, 3}} {
		var sum int
		if err := c.Call(numbers, &sum); err != nil || sum != numbers[0]+numbers[1] {
			t.Errorf("%v: got %d, %v; want %d", numbers, sum, err, numbers[0]+numbers[1])
		}
		if err := c.Call([]int{}, &sum); err == nil || !strings.Contains(err.Error(), "nothing to add") {
			t.Errorf("got error %v, want the child's", err)
		}
	}
	c.Close()
	c.Close()
	if c.command.ProcessState == nil || !c.command.ProcessState.Success() {
		t.Errorf("got %v, want a child that exits by itself", c.command.ProcessState)
	}
	if err := c.Call([]int{1}, new(int)); err == nil {
		t.Error("got no error from a closed child, want one")
	}
}

func TestContextKillsTheChild(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c, err := Start(ctx, testRole)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	began := time.Now()
	c.Close()
	if c.command.ProcessState == nil || time.Since(began) > stopTimeout-time.Second {
		t.Errorf("got %v after %v, want a killed child at once", c.command.ProcessState, time.Since(began))
	}
}

func TestServeReturnsEOFAtTheEndOfItsInput(t *testing.T) {
	if err := Serve(json.NewDecoder(strings.NewReader("")), json.NewEncoder(io.Discard), add); !errors.Is(err, io.EOF) {
		t.Errorf("got error %v, want io.EOF", err)
	}
}
