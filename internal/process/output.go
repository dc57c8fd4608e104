package process

import (
	"bytes"
	"io"
	"sync"
)

// Output collects what programs print. The zero Output is ready for use.
type Output struct {
	Also io.Writer // gets it too; may be nil

	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if o.Also != nil {
		_, _ = o.Also.Write(p) // its trouble is not the program's
	}
	return len(p), nil
}

// Bytes is everything that was printed so far.
func (o *Output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes())
}
