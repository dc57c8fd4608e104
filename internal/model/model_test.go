package model

import (
	"os"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func TestDebug(t *testing.T) {
	t.Log(unsafe.Sizeof(World{}))
	for _, staged := range []bool{false, true} {
		if os.Getenv("HOME_KIND") == "once" && staged || os.Getenv("HOME_KIND") == "staged" && !staged {
			continue
		}
		budget, _ := strconv.Atoi(os.Getenv("BUDGET"))
		began := time.Now()
		r := New(staged, budget, rotate.Next).Explore()
		t.Logf("staged %t budget %d: %d states, %d transitions, depth %d, %v, %s", staged, budget, r.States, r.Transitions, r.Depth, r.Ends, time.Since(began))
		if r.Violation != "" {
			t.Error(r)
		}
	}
}
