package maia

import (
	"errors"
	"strings"
	"sync"
)

// onceBody is a request body that knows whether any of it may have left the process. It serves the one question that matters after a
// refresh without an answer: can Maia have got it? No action is carried out without its body, so a body that nobody has read is proof
// that it was not; that holds for failed name resolution, refused connections and TLS handshakes alike, under any RoundTripper. A body
// that was read may not have been sent either; that is called unknown all the same, which is the safe side.
//
// It also keeps net/http from sending the request twice. The Transport replays a request on another connection by itself if it has
// GetBody, over HTTP/2 even where the server had seen it all (http2canRetryError: PROTOCOL_ERROR from the peer). A type that
// http.NewRequest does not know has no GetBody, and a POST that has neither it nor an Idempotency-Key is sent again only if its body
// was not read (Transport.shouldRetryRequest, rewindBody and http2shouldRetryRequest).
type onceBody struct {
	mu     sync.Mutex
	reader *strings.Reader
	read   bool
	sealed bool
}

func newOnceBody(content string) *onceBody { return &onceBody{reader: strings.NewReader(content)} }

var errSealed = errors.New("maia: the request was given up")

// Read implements io.Reader.
func (b *onceBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed {
		return 0, errSealed
	}
	b.read = true
	return b.reader.Read(p)
}

// Close implements io.Closer.
func (b *onceBody) Close() error { return nil }

// seal makes sure that nothing more is read, for a Transport may still be at it after it has returned, and reports whether anything was.
func (b *onceBody) seal() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	return b.read
}
