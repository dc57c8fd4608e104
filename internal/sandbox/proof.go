package sandbox

import (
	"fmt"
	"slices"
	"sync"
)

// Proof is one thing that must be true at the end.
type Proof struct {
	Text   string
	OK     bool
	Detail string // what is so instead, if it is not true
}

// Proofs are collected. They may be added by several at a time.
type Proofs struct {
	mu     sync.Mutex
	proofs []Proof
}

// Prove adds one, with what is so instead if it is not true.
func (p *Proofs) Prove(text string, ok bool, instead string) {
	if ok {
		instead = ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proofs = append(p.proofs, Proof{text, ok, instead})
}

// All are those that were added so far.
func (p *Proofs) All() []Proof {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.proofs)
}

// Count is a number with its word.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
