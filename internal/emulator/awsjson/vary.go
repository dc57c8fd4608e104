package awsjson

import "time"

// The ways in which any service of AWS may be slow to answer. They are quirks of each.
const (
	throttledOf = 5 // calls
	throttled   = 2 // of them, one after another
	slowEvery   = 7
	slowAnswer  = 25 * time.Second
)

// Vary has f decide what happens to every call that meets no injected fault, given the number of calls before it. f is called
// once for each call, in order.
func (h *Handler) Vary(f func(operation string, n int) Fault) {
	h.varyMu.Lock()
	defer h.varyMu.Unlock()
	h.vary = append(h.vary, f)
}

// Throttled is for [Handler.Vary]: two of five calls, in a row, are refused as too many.
func Throttled(_ string, n int) Fault {
	if n%throttledOf < throttled {
		return Fault{Kind: Throttle}
	}
	return Fault{}
}

// Slowly is for [Handler.Vary]: each seventh call is answered after 25 s, and carried out then, whether its caller still waits or not.
func Slowly(_ string, n int) Fault {
	if n%slowEvery == slowEvery-1 {
		return Fault{Kind: Slow, Delay: slowAnswer}
	}
	return Fault{}
}

// varied is what happens to a call by [Handler.Vary]: the first fault that is not NoFault.
func (h *Handler) varied(operation string) Fault {
	h.varyMu.Lock()
	defer h.varyMu.Unlock()
	n := h.calls
	h.calls++
	for _, f := range h.vary {
		if fault := f(operation, n); fault.Kind != NoFault {
			return fault
		}
	}
	return Fault{}
}
