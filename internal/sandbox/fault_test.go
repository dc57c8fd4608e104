package sandbox

import (
	"slices"
	"testing"
)

func TestFaultsAreFoundByTheirNames(t *testing.T) {
	first, last := OfMaia(func(*struct{}) *Trial { return nil }, func(*struct{}) {})
	faults := append(first, last)
	for _, fault := range faults {
		if found, ok := faults.Find(fault.Name); !ok || found.What != fault.What || found.Due(7) != fault.Refreshes || fault.Name == "list" {
			t.Errorf("%q is found as %q, %t", fault.Name, found.What, ok)
		}
	}
	if none, ok := faults.Find("list"); ok || none.Due(7) != 7 {
		t.Error("a fault that is not there is found")
	}
	if slices.ContainsFunc(faults, func(f Fault[*struct{}]) bool { return f.Inject == nil }) {
		t.Error("one of them does nothing")
	}
}
