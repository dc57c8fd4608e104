package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// halt stops a process as a machine that hangs, and returns when none of its threads runs any more: until one of them has
// taken notice of the signal, the others go on.
func halt(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the function: %w", err)
	}
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if stopped, err := stopped(pid); stopped || err != nil {
			return err
		}
	}
	return fmt.Errorf("process %d does not stop", pid)
}

// wake has a process go on that was stopped.
func wake(pid int) { _ = syscall.Kill(pid, syscall.SIGCONT) } // unless it is gone

// stopped says whether all threads of a process are.
func stopped(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false, fmt.Errorf("process %d: its threads cannot be looked at: expected /proc, as on Linux", pid)
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
