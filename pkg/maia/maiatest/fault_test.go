package maiatest_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const refreshPath = "/v1/agents/" + id + "/credentials"

// Each fault is the same in memory and over TCP.
func TestFaults(t *testing.T) {
	dropped := func(a answer) bool { return errors.Is(a.err, io.EOF) && a.status == 0 }
	for _, tt := range []struct {
		name    string
		fault   maiatest.Fault
		carried int
		status  int // as Calls has it
		check   func(answer) bool
	}{
		{"none", maiatest.Fault{}, 1, 200, func(a answer) bool { return a.body["clientId"] == "client" }},
		{"drop before", maiatest.Fault{Kind: maiatest.DropBefore}, 0, 0, dropped},
		{"drop after", maiatest.Fault{Kind: maiatest.DropAfter}, 1, 0, dropped},
		{"late", maiatest.Fault{Kind: maiatest.Late, Delay: 24 * time.Hour}, 0, 0, dropped},
		{"5xx", maiatest.Fault{Kind: maiatest.Status5xx, RetryAfter: "3"}, 0, 503, func(a answer) bool {
			return a.header.Get("Retry-After") == "3" && a.body["title"] == "Service Unavailable"
		}},
		{"another status", maiatest.Fault{Kind: maiatest.Status5xx, Status: 403}, 0, 403,
			func(a answer) bool { return a.body["title"] == "Forbidden" }},
		{"5xx after", maiatest.Fault{Kind: maiatest.Status5xxAfter, Status: 502}, 1, 502,
			func(a answer) bool { return a.body["title"] == "Bad Gateway" }},
		{"rate limited", maiatest.Fault{Kind: maiatest.RateLimited, RetryAfter: "9"}, 0, 429,
			func(a answer) bool { return a.header.Get("Retry-After") == "9" }},
		{"rate limited without a time", maiatest.Fault{Kind: maiatest.RateLimited}, 0, 429,
			func(a answer) bool { return a.header["Retry-After"] == nil }},
		{"redirect", maiatest.Fault{Kind: maiatest.Redirect, Location: "https://x.test/"}, 0, 307,
			func(a answer) bool { return a.header.Get("Location") == "https://x.test/" }},
		{"slow", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Millisecond}, 1, 200,
			func(a answer) bool { return a.body["clientId"] == "client" }},
		{"garbage", maiatest.Fault{Kind: maiatest.Garbage}, 1, 200, func(a answer) bool {
			return a.body == nil && strings.Contains(a.raw, "clientSecret")
		}},
		{"truncated", maiatest.Fault{Kind: maiatest.Truncated}, 1, 200, func(a answer) bool {
			return a.status == 200 && errors.Is(a.err, io.ErrUnexpectedEOF) && strings.HasPrefix(a.raw, `{"clientId"`)
		}},
		{"HTML", maiatest.Fault{Kind: maiatest.HTML}, 1, 200, func(a answer) bool {
			return strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && strings.Contains(a.raw, "clientSecret")
		}},
		{"masked", maiatest.Fault{Kind: maiatest.Masked}, 1, 200, func(a answer) bool {
			return a.body["clientId"] == "client" && a.body["clientSecret"] == "************"
		}},
		{"empty", maiatest.Fault{Kind: maiatest.Empty}, 1, 200, func(a answer) bool { return a.raw == "" }},
		{"wrong agent", maiatest.Fault{Kind: maiatest.WrongAgent}, 1, 200, func(a answer) bool {
			return a.body["clientId"] == "another-client" && a.body["agentId"] == nil
		}},
		{"custom", maiatest.Fault{Kind: maiatest.CustomBody, Body: []byte("x"), ContentType: "text/plain", Status: 201}, 1, 201,
			func(a answer) bool {
				return a.raw == "x" && a.header.Get("Content-Type") == "text/plain"
			}},
		{"custom by default", maiatest.Fault{Kind: maiatest.CustomBody}, 1, 200, func(a answer) bool {
			return a.raw == "" && a.header.Get("Content-Type") == "application/json"
		}},
	} {
		for _, over := range []string{"memory", "TCP"} {
			t.Run(tt.name+"/"+over, func(t *testing.T) {
				s := newServer(t)
				base, transport := "https://maia.test", s.Transport()
				if over == "TCP" {
					server := httptest.NewUnstartedServer(s)
					server.Config.ErrorLog = log.New(io.Discard, "", 0)
					server.Start()
					defer server.Close()
					base, transport = server.URL, &http.Transport{DisableKeepAlives: true}
				}
				fault := tt.fault
				fault.Call = maiatest.RefreshCredentials
				s.Inject(fault)
				a := send(t, transport, "POST", maiatest.APIURL(base)+refreshPath, `{"action":"SECRET_REFRESH"}`,
					map[string]string{"Authorization": "Bearer " + token(t, s), "Content-Type": "application/json"})
				if !tt.check(a) || a.err == nil && a.status != tt.status {
					t.Errorf("got %+v", a)
				}
				if got := s.Refreshes(id); got != tt.carried {
					t.Errorf("%d refreshes, want %d", got, tt.carried)
				}
				calls := s.Calls()
				last := calls[len(calls)-1]
				if last.Name != maiatest.RefreshCredentials || last.Method != "POST" || last.Path != "/dpc"+refreshPath || last.AgentID != id ||
					last.Status != tt.status {
					t.Errorf("%+v", last)
				}
			})
		}
	}
}

func TestWrongAgentAndMaskedLeaveOtherFieldsAlone(t *testing.T) {
	s := newServer(t)
	s.Inject(maiatest.Fault{Kind: maiatest.WrongAgent, Call: maiatest.GetAgent})
	s.Inject(maiatest.Fault{Kind: maiatest.Masked, Call: maiatest.Pause})
	text := token(t, s)
	if a := call(t, s, text, "GET", "/v1/agents/"+id, ""); a.body["agentId"] == id || a.body["name"] != "runner" || a.body["clientId"] != nil {
		t.Errorf("%+v", a)
	}
	if a := call(t, s, text, "POST", "/v1/agents/"+id+"/commands", `{"command":"PAUSE"}`); a.status != 202 || a.raw != "" {
		t.Errorf("%+v", a)
	}
}

func TestNthCountsFromTheInjection(t *testing.T) {
	s := newServer(t)
	text := token(t, s)
	statuses := func() (got []int) {
		for range 3 {
			got = append(got, call(t, s, text, "GET", "/v1/agents/"+id, "").status)
			call(t, s, text, "GET", "/v1/agents", "")
		}
		return got
	}
	s.Inject(maiatest.Fault{Call: maiatest.GetAgent, Nth: 2, Kind: maiatest.Status5xx, Status: 500})
	if got := statuses(); !slices.Equal(got, []int{200, 500, 200}) {
		t.Errorf("%v", got)
	}
	s.Inject(maiatest.Fault{Call: maiatest.GetAgent, Nth: 1, Kind: maiatest.Status5xx, Status: 501})
	s.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx, Status: 502})
	if got := statuses(); !slices.Equal(got, []int{501, 502, 502}) {
		t.Errorf("%v", got)
	}
	any := newServer(t)
	any.Inject(maiatest.Fault{Nth: 2, Kind: maiatest.Status5xx, Status: 500})
	text = token(t, any)
	if a := call(t, any, text, "GET", "/v1/agents", ""); a.status != 500 {
		t.Errorf("the second of any calls: %+v", a)
	}
}

func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		instance := login(t, s)
		var after atomic.Int32
		s.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Kind: maiatest.Late, Delay: time.Minute, After: func() { after.Add(1) }})
		if a := call(t, s, token(t, s), "POST", refreshPath, `{"action":"SECRET_REFRESH"}`); a.err == nil {
			t.Errorf("%+v", a)
		}
		<-time.After(time.Minute - 1)
		if s.Refreshes(id) != 0 || !instance.Connected() || after.Load() != 0 {
			t.Error("carried out too early")
		}
		<-time.After(1)
		synctest.Wait()
		if s.Refreshes(id) != 1 || instance.Connected() || after.Load() != 1 {
			t.Errorf("%d refreshes, After called %d times", s.Refreshes(id), after.Load())
		}
	})
}

func TestCloseDropsWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Kind: maiatest.Late, Delay: time.Minute})
		call(t, s, token(t, s), "POST", refreshPath, `{"action":"SECRET_REFRESH"}`)
		s.Close()
		call(t, s, "", "POST", refreshPath, `{"action":"SECRET_REFRESH"}`)
		<-time.After(time.Hour)
		if s.Refreshes(id) != 0 {
			t.Error("carried out after Close")
		}
	})
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Slow, Delay: time.Minute})
		text, began := token(t, s), time.Now()
		if a := call(t, s, text, "GET", "/v1/agents/"+id, ""); a.status != 200 || time.Since(began) != time.Minute {
			t.Errorf("%+v after %v", a, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err := s.Client(t).Agent(ctx, id)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Before, the effect, After, the hooks and the answer come in this order, even if the caller is gone meanwhile.
func TestCallbacks(t *testing.T) {
	s := newServer(t)
	client := s.Client(t)
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(t.Context())
	var order []string
	note := func(what string) {
		if s.LiveSecret(id) != secret {
			what += " (refreshed)"
		}
		order = append(order, what)
	}
	s.Inject(maiatest.Fault{
		Call:   maiatest.RefreshCredentials,
		Before: func() { note("before"); kill() },
		After:  func() { note("after") },
	})
	s.OnCall(func(c maiatest.Call) { note(string(c.Name)) })
	_, err := client.RefreshCredentials(ctx, id)
	order = append(order, "answer")
	want := []string{"before", "after (refreshed)", "RefreshCredentials (refreshed)", "answer"}
	if !errors.Is(err, maia.ErrOutcomeUnknown) || !slices.Equal(order, want) {
		t.Errorf("%v, %v", order, err)
	}
}

func TestAfterIsNotCalledIfNothingWasDone(t *testing.T) {
	for _, kind := range []maiatest.Kind{maiatest.DropBefore, maiatest.Status5xx, maiatest.RateLimited, maiatest.Redirect} {
		s := newServer(t)
		before := 0
		s.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: kind, Before: func() { before++ }, After: func() { t.Error("After was called") }})
		call(t, s, token(t, s), "GET", "/v1/agents/"+id, "")
		if before != 1 {
			t.Errorf("Before was called %d times", before)
		}
	}
}
