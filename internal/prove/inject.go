package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// kind is what happens to a call.
type kind string

// The kinds. The first group does not carry the call out, the second does.
const (
	refused      kind = "refused"       // the connection is closed
	unavailable  kind = "5xx"           // the service says so
	tooMany      kind = "429"           // the service says so
	killedBefore kind = "killed-before" // the function is killed (SIGKILL)

	lost        kind = "answer-lost"  // the connection is closed
	slow        kind = "slow"         // the answer does not come as long as the function waits for it
	truncated   kind = "truncated"    // half of the answer comes
	killedAfter kind = "killed-after" // the function is killed, and has not seen the answer
	late        kind = "late"         // the connection is closed, and the call is carried out a while later

	// What only a broken or malicious Maia answers.
	redirect  kind = "redirect"  // to another host
	drip      kind = "drip"      // a byte at a time
	endless   kind = "endless"   // a body without an end
	headers   kind = "headers"   // a megabyte of headers
	page      kind = "page"      // HTML, with the answer in it
	strangers kind = "strangers" // the credentials of another runner

	// The function is stopped (SIGSTOP) when the answer is ready, as a machine that hangs is.
	halts kind = "halted"
	// Something else happens before the call is carried out, which is not disturbed.
	meanwhile kind = "meanwhile"
)

var (
	changing = []kind{refused, lost, unavailable, tooMany, slow, truncated, killedBefore, killedAfter, late}
	reading  = []kind{refused, unavailable, tooMany, slow, truncated, killedBefore}
	hostile  = []kind{redirect, drip, endless, headers, page, strangers}
)

// lateBy is how much later a late call is carried out.
const lateBy = 3 * time.Second

// injection is what happens to one call, and to its repetitions.
type injection struct {
	name, phase string // of the call
	nth         int
	kind        kind
	times       int    // in a row: the next calls of the name
	do          func() // of meanwhile and halts
	then        func() // of halts: when the answer is on its way; may be nil
	injected    int
}

// hits reports whether the fault is injected into the call.
func (s *injection) hits(made call) bool {
	if s.injected == 0 {
		return made.name == s.name && made.phase == s.phase && made.nth == s.nth
	}
	return s.injected < s.times && made.name == s.name
}

// String names it: call, phase, count and kind.
func (s *injection) String() string {
	text := fmt.Sprintf("%s@%s#%d/%s", s.name, s.phase, s.nth, s.kind)
	switch s.times {
	case 1:
	case 2:
		text += "-twice"
	default:
		text += fmt.Sprintf("-%d-times", s.times)
	}
	return strings.ReplaceAll(text, " ", "-")
}

// happen makes it happen to a request.
func (s *injection) happen(w *wire, to service, body []byte, next http.Handler, writer http.ResponseWriter, request *http.Request) {
	abort := func() { panic(http.ErrAbortHandler) }
	done := func() answer { return carryOut(request.Context(), body, next, request) }
	switch s.kind {
	case refused:
		abort()
	case unavailable, tooMany:
		to.refuse(s.kind == tooMany, request).send(writer)
	case killedBefore:
		w.killFunction()
		abort()
	case lost:
		done()
		abort()
	case slow:
		done()
		select {
		case <-request.Context().Done():
		case <-w.ended:
		}
		abort()
	case truncated:
		truncate(done(), writer)
	case killedAfter:
		done()
		w.killFunction()
		abort()
	case late:
		w.working.Go(func() {
			select {
			case <-time.After(lateBy):
				done()
			case <-w.ended:
			}
		})
		abort()
	case halts:
		kept := done()
		s.do()
		if s.then != nil {
			kept.header.Set("Content-Length", fmt.Sprint(len(kept.body)))
			kept.send(writer)
			_ = http.NewResponseController(writer).Flush() // it has all of the answer, and does not know yet
			s.then()
			return
		}
		kept.send(writer)
	case meanwhile:
		s.do()
		next.ServeHTTP(writer, request)
	default:
		s.hostility(w, done, writer, request)
	}
}

// carryOut has the service do what a request asks, whether its caller waits or not.
func carryOut(ctx context.Context, body []byte, next http.Handler, request *http.Request) answer {
	again := request.Clone(context.WithoutCancel(ctx))
	again.Body = io.NopCloser(bytes.NewReader(body))
	kept := &keeper{answer: answer{header: http.Header{}}}
	func() {
		defer func() {
			if panicked := recover(); panicked != nil && panicked != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
				panic(panicked)
			}
		}()
		next.ServeHTTP(kept, again)
	}()
	if kept.status == 0 {
		kept.status = http.StatusOK
	}
	kept.answer.body = kept.body.Bytes()
	return kept.answer
}

func truncate(whole answer, writer http.ResponseWriter) {
	whole.header.Set("Content-Length", fmt.Sprint(len(whole.body)))
	whole.body = whole.body[:len(whole.body)/2]
	whole.send(writer)
	_ = http.NewResponseController(writer).Flush() // the caller may be gone
	panic(http.ErrAbortHandler)
}

const (
	dripPause  = 200 * time.Millisecond
	endlessMax = 64 << 20 // more than anybody should read
	headerSize = 1 << 20
)

// hostility is an answer of a Maia that is broken or malicious.
func (s *injection) hostility(w *wire, done func() answer, writer http.ResponseWriter, request *http.Request) {
	switch s.kind {
	case redirect:
		answer{http.StatusTemporaryRedirect, http.Header{"Location": {w.thief.url + stolen + request.URL.Path}}, nil}.send(writer)
	case drip:
		kept := done()
		whole := kept.body
		kept.header.Set("Content-Length", fmt.Sprint(len(whole)))
		kept.body = nil
		kept.send(writer)
		for _, b := range whole {
			select {
			case <-time.After(dripPause):
			case <-request.Context().Done():
				return
			case <-w.ended:
				return
			}
			_, _ = writer.Write([]byte{b})
			_ = http.NewResponseController(writer).Flush()
		}
	case endless:
		kept := done()
		kept.header.Del("Content-Length")
		kept.body = append(bytes.TrimSuffix(bytes.TrimSpace(kept.body), []byte("}")), `,"padding":"`...)
		kept.send(writer)
		chunk := bytes.Repeat([]byte("a"), 64<<10)
		for sent := 0; sent < endlessMax && request.Context().Err() == nil; sent += len(chunk) {
			if _, err := writer.Write(chunk); err != nil {
				return
			}
		}
	case headers:
		kept := done()
		for i := range headerSize / 1024 {
			kept.header.Set(fmt.Sprintf("X-Padding-%d", i), strings.Repeat("a", 1024))
		}
		kept.send(writer)
	case page:
		kept := done()
		kept.header.Set("Content-Type", "text/html; charset=utf-8")
		kept.header.Del("Content-Length")
		kept.body = fmt.Appendf(nil, "<html><body>Please log in.<!-- %s --></body></html>", kept.body)
		kept.send(writer)
	case strangers:
		kept := done()
		kept.header.Del("Content-Length")
		kept.header.Set("Content-Type", "application/json")
		kept.body = fmt.Appendf(nil, `{"agentId":%q,"clientId":%q,"clientSecret":%q}`, strangersAgent, "client-of-another-runner",
			strangersSecret)
		kept.send(writer)
	default:
		panic("prove: unknown kind " + string(s.kind))
	}
}

// Another runner's credentials, which must not get into a store.
const (
	strangersAgent  = "5f0e3b7c-2d4a-4c8e-9b61-7a1c0d9e8f23"
	strangersSecret = "Tq4ZsVn8XcRb2LkWm6Yp1HdJ"
)
