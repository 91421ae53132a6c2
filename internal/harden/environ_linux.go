package harden

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// overwrite writes x over the values of the variables of those names in the block of memory in which the kernel handed
// over the environment, and which is what /proc/PID/environ shows. Nobody here reads that block again: Go's runtime
// copies it into strings of its own before main begins (goenvs_unix in runtime/runtime1.go).
//
// The memory is written through the kernel, not by a pointer: where an address is wrong, that is an error and no crash.
func overwrite(names []string) error {
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return fmt.Errorf("the environment cannot be overwritten: %w", err)
	}
	defer clear(block) // it is one more copy
	values := valuesOf(block, names)
	if len(values) == 0 {
		return nil
	}
	start, err := environStart()
	if err != nil {
		return fmt.Errorf("the environment cannot be overwritten: %w", err)
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("the environment cannot be overwritten: %w", err)
	}
	defer memory.Close()
	var errs []error
	for _, value := range values {
		if err := overwriteAt(memory, start+int64(value.offset), value.bytes); err != nil {
			errs = append(errs, fmt.Errorf("the environment cannot be overwritten: %w", err))
		}
	}
	return errors.Join(errs...)
}

// value is the value of a variable and its place in the block.
type value struct {
	offset int
	bytes  []byte
}

// valuesOf returns the values of the variables of those names. A name that occurs more than once has several: os.Environ
// shows the first, but the block holds them all.
func valuesOf(block []byte, names []string) (values []value) {
	offset := 0
	for entry := range bytes.SplitSeq(block, []byte{0}) {
		name, text, _ := bytes.Cut(entry, []byte{'='})
		if slices.Contains(names, string(name)) {
			values = append(values, value{offset + len(name) + len("="), text})
		}
		offset += len(entry) + 1
	}
	return values
}

// environStart returns the address of the block: field 50 of /proc/self/stat, see proc_pid_stat(5).
func environStart() (int64, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	// Field 2 is the program's name in parentheses, which may itself hold blanks and parentheses; field 3 comes after
	// the last of them.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= 50-3 {
		return 0, errors.New("/proc/self/stat does not tell where it is")
	}
	start, err := strconv.ParseInt(string(fields[50-3]), 10, 64)
	if err != nil || start <= 0 { // an emulated /proc (gVisor's, QEMU's) has a 0 there
		return 0, errors.New("/proc/self/stat does not tell where it is")
	}
	return start, nil
}

// overwriteAt writes only where it finds the value: anything else in that place is something that the process needs.
func overwriteAt(memory *os.File, address int64, value []byte) error {
	found := make([]byte, len(value))
	defer clear(found)
	if _, err := memory.ReadAt(found, address); err != nil {
		return err
	}
	if !bytes.Equal(found, value) {
		return errors.New("it is not where /proc/self/stat says")
	}
	_, err := memory.WriteAt(bytes.Repeat([]byte{'x'}, len(value)), address)
	return err
}
