package maiatest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
)

// Transport returns a http.RoundTripper that hands requests to the server in memory, whatever their host. It opens no connection and
// starts no goroutine, so that it works in a bubble of testing/synctest. A dropped connection is io.EOF, or, in the middle of an answer,
// io.ErrUnexpectedEOF, as over TCP; the end of the request's context ends the call for the sender, while the server carries it out.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		defer func() { _ = request.Body.Close() }()
	}
	ctx := request.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	incoming := request.Clone(ctx)
	incoming.RequestURI = request.URL.RequestURI()
	if incoming.Body == nil {
		incoming.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	aborted := t.serve(recorder, incoming)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if aborted && !recorder.Flushed {
		return nil, io.EOF
	}
	response := recorder.Result()
	response.Request = request
	if aborted {
		// What was announced never comes to an end.
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(recorder.Body.Bytes()), brokenReader{}))
		response.ContentLength, _ = strconv.ParseInt(recorder.Header().Get("Content-Length"), 10, 64)
	}
	return response, nil
}

// serve reports whether the handler dropped the connection.
func (t transport) serve(w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		switch reason := recover(); reason {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			panic(reason)
		}
	}()
	t.server.ServeHTTP(w, r)
	return false
}

type brokenReader struct{}

// Read implements io.Reader.
func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
