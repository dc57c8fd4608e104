package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// halt stops a process, as if its machine hung, and returns when none of its threads runs any more: they go on until one of
// them notices the signal.
func halt(ctx context.Context, pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the function: %w", err)
	}
	return await(ctx, func() (bool, error) { return stopped(pid) })
}

// await returns when the condition holds.
func await(ctx context.Context, is func() (bool, error)) error {
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wake has a process go on that was stopped.
func wake(pid int) { _ = syscall.Kill(pid, syscall.SIGCONT) } // unless it is gone

// stopped reports whether all threads of a process are.
func stopped(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false, fmt.Errorf("process %d: its threads cannot be inspected: expected /proc, as on Linux", pid)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // the thread has ended
		}
		// The state follows the name, which is in parentheses and may hold anything.
		if _, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")); len(state) == 0 || state[0] != 'T' {
			return false, nil
		}
	}
	return true, nil
}
