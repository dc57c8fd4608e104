package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// call is a request of the function to a service.
type call struct {
	service  sandbox.Source
	name     string    // of a maiatest.Call, or the operation of a cloud
	step     string    // of the rotation; "" before the first, which is the operator's RotateSecret
	promotes bool      // it has moved AWSCURRENT
	arrived  time.Time // when the service had read the head of the request
	answered time.Time // when the service had made the answer, just before the last of it goes out
}

// recorder records all requests of a world in the order in which they arrive.
type recorder struct {
	mu    sync.Mutex
	step  string
	calls []*call
}

// wrap is for the sandbox's Options.
func (r *recorder) wrap(service sandbox.Source, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		made := &call{service: service, arrived: time.Now()}
		r.mu.Lock()
		made.step = r.step
		r.calls = append(r.calls, made)
		r.mu.Unlock()
		defer func() {
			answered := time.Now()
			r.mu.Lock()
			made.answered = answered
			r.mu.Unlock()
		}()
		handler.ServeHTTP(w, request)
	})
}

// event is for the sandbox's Options. The event that AWSCURRENT has moved comes during the call that moved it.
func (r *recorder) event(event sandbox.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event.Name {
	case "step-started":
		r.step, _, _ = strings.Cut(event.Text, " ")
	case "promoted":
		if len(r.calls) > 0 {
			r.calls[len(r.calls)-1].promotes = true
		}
	}
}

// maiaNames are those of calls to Maia.
func maiaNames(calls []maiatest.Call) (names []string) {
	for _, made := range calls {
		names = append(names, string(made.Name))
	}
	return names
}

// operations are the names of calls to a cloud.
func operations(calls []wire.Call) (names []string) {
	for _, made := range calls {
		names = append(names, made.Operation)
	}
	return names
}

// named gives the calls the names that their services know, in order, and leaves out the operator's. The function makes one
// call at a time, so that their order is that of the services' records.
func (r *recorder) named(names map[sandbox.Source][]string) ([]call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var calls []call
	for _, made := range r.calls {
		left := names[made.service]
		if len(left) == 0 {
			return nil, fmt.Errorf("%s got more calls than it knows", made.service)
		}
		made.name, names[made.service] = left[0], left[1:]
		if made.step != "" {
			calls = append(calls, *made)
		}
	}
	for i := 1; i < len(calls); i++ {
		if calls[i].arrived.Before(calls[i-1].answered) {
			return nil, fmt.Errorf("%s and %s overlap: their order is not known", calls[i-1].name, calls[i].name)
		}
	}
	return calls, nil
}

// reads reports whether the call changes nothing.
func (c call) reads() bool {
	return c.name == string(maiatest.Token) || slices.Contains(azureReads, c.name) ||
		slices.ContainsFunc([]string{"Get", "List", "Describe"}, func(verb string) bool { return strings.HasPrefix(c.name, verb) })
}

// waitTime is the shortest pause between calls that is a wait: the function polls every two seconds, and nothing else that it
// does takes nearly as long.
const waitTime = 1500 * time.Millisecond

// maiaCalls are the calls to Maia that a rotation needs however long other things take: all but those for tokens and those of
// polling. Polling is a GET, of the agent or of its credentials, that waits for a change:
//
//   - the last call before it that changed anything, at any service, is PAUSE, RESUME, UpdateService, the restart of a revision,
//     or the note of such a restart: the function waits for the effect of a command, or for new instances;
//   - or it repeats an earlier one of the same step, and is the first call after a pause of at least 1.5 s: the function waits
//     for the runner to drain.
func maiaCalls(calls []call) []call {
	var counted []call
	for i, made := range calls {
		if made.service == sandbox.FromMaia && made.name != string(maiatest.Token) && !polling(calls, i) {
			counted = append(counted, made)
		}
	}
	return counted
}

// polling reports whether call i only waits for a change.
func polling(calls []call, i int) bool {
	if !calls[i].reads() {
		return false
	}
	restarts := func(c call) bool { return c.name == "UpdateService" || c.name == opRestart }
	awaited := func(c call) bool {
		return c.name == string(maiatest.Pause) || c.name == string(maiatest.Resume) || restarts(c)
	}
	notes := func(c call) bool { return c.name == "UpdateSecretVersionStage" || c.name == opNote }
	noted := false // the note was written after it
	waited := i > 0 && calls[i].arrived.Sub(calls[i-1].answered) >= waitTime
	unchanged := true
	for j := i - 1; j >= 0 && calls[j].step == calls[i].step; j-- {
		if unchanged && !calls[j].reads() {
			switch {
			case notes(calls[j]):
				noted = true
			case !noted && awaited(calls[j]), restarts(calls[j]):
				return true
			default:
				unchanged = false
			}
		}
		if waited && calls[j].service == calls[i].service && calls[j].name == calls[i].name {
			return true
		}
	}
	return false
}

// stretch is the time between the answer of one call and the arrival of another.
type stretch struct {
	calls int // the last one included, the first one not
	// own is the time outside of calls: from each answer to the arrival of the next request. It includes both ways over loopback, so
	// that the function itself takes less.
	own time.Duration
}

// stretchOf measures from the first call that fits from to the first one after it that fits to.
func stretchOf(calls []call, from, to func(call) bool) (found stretch, ok bool) {
	begin := slices.IndexFunc(calls, from)
	if begin < 0 {
		return stretch{}, false
	}
	for i := begin + 1; i < len(calls); i++ {
		found.calls++
		found.own += calls[i].arrived.Sub(calls[i-1].answered)
		if to(calls[i]) {
			return found, true
		}
	}
	return stretch{}, false
}

// listCalls shows the calls with the time since the first one.
func listCalls(out io.Writer, calls []call) {
	counted := 0
	for i, made := range calls {
		note := ""
		switch {
		case made.service != sandbox.FromMaia:
		case made.name == string(maiatest.Token):
			note = "token"
		case polling(calls, i):
			note = "polling"
		default:
			counted++
			note = fmt.Sprint("call ", counted)
		}
		fmt.Fprintf(out, "%8.1f ms  %-12s  %-15s  %-24s  %s\n", made.arrived.Sub(calls[0].arrived).Seconds()*1e3, made.step, made.service,
			made.name, note)
	}
}
