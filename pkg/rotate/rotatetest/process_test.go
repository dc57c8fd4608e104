package rotatetest

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// cloud counts the requests that reach it, and reads them.
type cloud struct{ got []string }

func (c *cloud) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	c.got = append(c.got, string(body))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
}

func TestProcessFaults(t *testing.T) {
	tests := map[string]struct {
		fault fault
		calls string // one letter each
		got   string // those that reach the cloud
		fails string // + for a call that succeeds, - for one that fails
	}{
		"none":                         {fault{}, "aab", "aab", "+++"},
		"before, in a row":             {fault{call: "a", nth: 2, times: 3}, "aaaaaa", "aaa", "+---++"},
		"after, in a row":              {fault{call: "a", nth: 1, after: true, times: 2}, "aaa", "aaa", "--+"},
		"a row ends with another call": {fault{call: "a", nth: 1, times: 3}, "abaa", "baa", "-+++"},
		"once":                         {fault{call: "a", nth: 1, times: 1, early: true}, "aa", "a", "-+"},
		"the second of its name":       {fault{call: "a", nth: 2, times: 1}, "abbab", "abbb", "+++-+"},
		"cut before":                   {fault{call: "b", nth: 1, cut: true}, "abab", "a", "+---"},
		"cut after":                    {fault{call: "b", nth: 1, cut: true, after: true}, "abab", "ab", "+---"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				overHTTP, direct := &cloud{}, ""
				one, two := test.fault, test.fault
				process, other := newProcess(&one), newProcess(&two)
				transport := process.Transport(overHTTP, func(request *http.Request) string { return request.URL.Path[1:] })
				var fails, directFails string
				sign := func(err error) string {
					if err != nil {
						return "-"
					}
					return "+"
				}
				for _, call := range strings.Split(test.calls, "") {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://cloud.test/"+call, strings.NewReader(call))
					if err != nil {
						t.Fatal(err)
					}
					response, err := transport.RoundTrip(request)
					if fails += sign(err); err == nil {
						_ = response.Body.Close()
					}
					directFails += sign(other.Do(call, func() error { direct += call; return nil }))
				}
				if got := strings.Join(overHTTP.got, ""); got != test.got || fails != test.fails {
					t.Errorf("Transport: %q got through, want %q; calls ended %s, want %s", got, test.got, fails, test.fails)
				}
				if direct != test.got || directFails != test.fails {
					t.Errorf("Do: %q got through, want %q; calls ended %s, want %s", direct, test.got, directFails, test.fails)
				}
				if test.fault.cut != process.isDead() {
					t.Errorf("dead %t", process.isDead())
				}
			})
		})
	}
}

// A caller can see by its request's body whether anything was sent.
func TestProcessReadsWhatIsLostOnItsWay(t *testing.T) {
	for early, read := range map[bool]bool{false: true, true: false} {
		synctest.Test(t, func(t *testing.T) {
			process := newProcess(&fault{call: "a", nth: 1, times: 1, early: early})
			body := strings.NewReader("body")
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://cloud.test/", body)
			if err != nil {
				t.Fatal(err)
			}
			_, err = process.Transport(&cloud{}, func(*http.Request) string { return "a" }).RoundTrip(request)
			if (body.Len() == 0) != read || errors.Is(err, syscall.ECONNREFUSED) != early {
				t.Errorf("early %t: %d bytes are left of the body, error %v", early, body.Len(), err)
			}
		})
	}
}

func TestCallsHaveMaiasNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, platforms(nil), scenario{})
		r := w.start(rotate.Rotate, nil) // its first call is under way
		var got, want []string
		w.maia.OnCall(func(call maiatest.Call) { want = append(want, maiaPrefix+string(call.Name)) })
		<-r.done
		for _, call := range r.process.made() {
			if call.During == "" {
				got = append(got, call.Name)
			}
		}
		if len(got) < 10 || !slices.Equal(got, want) {
			t.Errorf("calls\n%v, want\n%v", got, want)
		}
	})
}

func TestDownCalls(t *testing.T) {
	call := func(name, during string) Call { return Call{Name: name, During: during} }
	refresh, put, order, read := call(maiaRefresh, ""), call("put", DuringStore), call("order", DuringRestart), call("read", DuringObserve)
	tests := map[string]struct {
		calls                 []Call
		toStored, toRestarted int
	}{
		"as it should be": {[]Call{read, refresh, put, put, order, read}, 2, 1},
		"a read before":   {[]Call{refresh, read, put, order}, -1, -1},
		"a read between":  {[]Call{refresh, put, read, order}, 1, -1},
		"no rotation":     {[]Call{read}, -1, -1},
	}
	for name, test := range tests {
		if stored, restarted := DownCalls(test.calls); stored != test.toStored || restarted != test.toRestarted {
			t.Errorf("%s: %d and %d, want %d and %d", name, stored, restarted, test.toStored, test.toRestarted)
		}
	}
}

func TestFold(t *testing.T) {
	read, save := Call{Name: "read", During: DuringObserve}, Call{Name: "save", During: DuringSaveNote}
	calls := slices.Concat(slices.Repeat([]Call{read}, maxPolls+3), []Call{save}, slices.Repeat([]Call{read}, maxPolls+1),
		slices.Repeat([]Call{save}, 20))
	if kept, folded := (choice{}).fold(calls); folded != 4 || len(kept) != 2*maxPolls+21 {
		t.Errorf("%d are kept and %d folded", len(kept), folded)
	}
}

func TestScenariosHaveNamesOfTheirOwn(t *testing.T) {
	list, summary := scenarios(t, platforms(nil), choice{})
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s.name] || strings.ContainsAny(s.name, "/ ") {
			t.Errorf("%q", s.name)
		}
		seen[s.name] = true
	}
	t.Log(summary)
}

func TestAFaultThatIsNotInjectedIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := Call{Name: "nothing", Nth: 1}
		failures, _ := play(t, platforms(nil), scenario{play: variants()[0].play(call)})
		if len(failures) != 1 || !strings.Contains(failures[0], "the fault was not injected: there was no call 1 of nothing") {
			t.Errorf("failures %q", failures)
		}
	})
}

func TestRepeat(t *testing.T) {
	const want = `go test ./pkg/rotate/rotatetest -run '^TestConformance$/^read\.x-01-cut-after$'`
	if got := repeat("TestConformance/read.x-01-cut-after"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
