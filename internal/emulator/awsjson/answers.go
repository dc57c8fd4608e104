package awsjson

import (
	"slices"
	"time"
)

const slowAnswer = 25 * time.Second

// PlayAnswers plays those quirks of answers among the names that every service of AWS may have.
func (h *Handler) PlayAnswers(names ...string) {
	h.answersMu.Lock()
	defer h.answersMu.Unlock()
	h.throttled = h.throttled || slices.Contains(names, "throttled")
	h.slow = h.slow || slices.Contains(names, "slow-answers")
}

// varied is what the quirks do to a call that meets no injected fault.
func (h *Handler) varied() Fault {
	h.answersMu.Lock()
	defer h.answersMu.Unlock()
	n := h.calls
	h.calls++
	switch {
	case h.throttled && n%5 < 2: // two of five, in a row
		return Fault{Kind: Throttle}
	case h.slow && n%7 == 6: // carried out late, whether the caller still waits or not
		return Fault{Kind: Slow, Delay: slowAnswer}
	}
	return Fault{}
}
