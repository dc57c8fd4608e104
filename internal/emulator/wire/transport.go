package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// Transport returns a RoundTripper that serves every request with the handler, whatever host it names, without a network. A
// handler that panics with [http.ErrAbortHandler] is a connection reset.
func Transport(handler http.Handler) http.RoundTripper { return &transport{handler} }

type transport struct{ handler http.Handler }

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.Header = http.Header{}
	for name, values := range r.Header { // as it is read from a network
		for _, value := range values {
			in.Header.Add(name, value)
		}
	}
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.ContentLength = int64(len(body))
	in.RequestURI = r.URL.RequestURI()
	in.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if in.Host == "" {
		in.Host = r.URL.Host
	}

	// As over a network, a caller that gives up does not stop the handler.
	answered := make(chan *recorder, 1)
	go func() {
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				w = nil
			} else if p != nil {
				panic(p)
			}
			answered <- w
		}()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case w := <-answered:
		if w == nil {
			return nil, syscall.ECONNRESET
		}
		return w.response(r), nil
	}
}

// recorder keeps an answer in memory. (httptest has one, but a package that is
// linked into a command should not bring that package's flags along.)
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the status was written
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.sent == nil {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *recorder) response(r *http.Request) *http.Response {
	w.WriteHeader(http.StatusOK)
	if w.sent.Get("Date") == "" {
		w.sent.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // as over a network
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		Body:          io.NopCloser(&w.body),
		ContentLength: int64(w.body.Len()),
		Request:       r,
	}
}
