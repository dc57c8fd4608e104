package helmrelease

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// limitMemory bounds the memory that this process may allocate from now on, in bytes: the kernel refuses more, and the process
// then ends. It bounds the time of the processor too. A kernel that does not count what is written to (RLIMIT_DATA) counts what
// is mapped.
func limitMemory() error {
	var pages [7]uint64 // size resident shared text lib data dt
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5],
		&pages[6]); err != nil {
		return err
	}
	size := uint64(os.Getpagesize())
	for resource, limit := range map[int]uint64{
		syscall.RLIMIT_DATA: pages[5]*size + renderMemory,
		syscall.RLIMIT_AS:   pages[0]*size + 4*renderMemory, // with what is only reserved
		syscall.RLIMIT_CPU:  uint64(renderTimeout.Seconds()),
	} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	return nil
}
