package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// peakMemory is the most memory that a running process has had resident, in bytes, and 0 where the system does not say. The
// Maxrss of its end would not do: Linux begins it with the memory of the process that started it.
func peakMemory(pid int) (int64, error) {
	if runtime.GOOS != "linux" {
		return 0, nil
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
}
