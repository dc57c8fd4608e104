package helmrelease_test

import (
	"bytes"
	"context"
	"io"
	"net/http"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// client-go's handler of errors that it cannot return sleeps by the time of the last one, which all goroutines of the process
// share. In a bubble, where it is the year 2000, it would sleep for decades.
func init() { utilruntime.ErrorHandlers = nil }

// outside does things outside of a bubble of testing/synctest for those in it. Waiting for a network in a bubble would stop its
// clock for ever; waiting for outside stops it only for that time. So a real cluster seems to do everything in no time.
type outside struct {
	work chan *errand
	free chan *errand
}

// errand is something to be done. Its channel is made outside, as it must be.
type errand struct {
	do   func()
	done chan struct{}
}

// atOnce is more than the bubbles of one process ever need at a time.
const atOnce = 64

func newOutside() *outside {
	o := &outside{work: make(chan *errand), free: make(chan *errand, atOnce)}
	for range atOnce {
		o.free <- &errand{done: make(chan struct{})}
		go func() {
			for e := range o.work {
				e.do()
				e.done <- struct{}{}
			}
		}()
	}
	return o
}

// run does something and waits for it. It must use no channel, timer or context of a bubble.
func (o *outside) run(do func()) {
	e := <-o.free
	e.do = do
	o.work <- e
	<-e.done
	o.free <- e
}

// transport carries requests out.
type transport struct {
	outside *outside
	next    http.RoundTripper
}

func (t transport) RoundTrip(request *http.Request) (response *http.Response, err error) {
	var sent []byte
	if request.Body != nil {
		if sent, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		_ = request.Body.Close()
	}
	var received []byte
	t.outside.run(func() {
		var carried *http.Request // a clone would hold channels of the bubble
		if carried, err = http.NewRequestWithContext(context.Background(), request.Method, request.URL.String(),
			bytes.NewReader(sent)); err != nil {
			return
		}
		carried.Header = request.Header.Clone()
		if response, err = t.next.RoundTrip(carried); err != nil {
			return
		}
		received, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	})
	if err != nil {
		return nil, err
	}
	response.Body, response.Request = io.NopCloser(bytes.NewReader(received)), request
	return response, nil
}
