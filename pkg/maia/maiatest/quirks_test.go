package maiatest_test

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// wire is a fake with one agent that is connected, and a token for it.
type wire struct {
	*maiatest.Server
	t     testing.TB
	token string
	began time.Time
}

func (w wire) agent() map[string]any {
	w.t.Helper()
	return w.get("/v1/agents/" + id).body
}

func (w wire) get(path string) answer {
	w.t.Helper()
	return call(w.t, w.Server, w.token, "GET", path, "")
}

func (w wire) command(name string) answer {
	w.t.Helper()
	return call(w.t, w.Server, w.token, "POST", "/v1/agents/"+id+"/commands", `{"command":"`+name+`"}`)
}

func (w wire) pause() wire {
	w.t.Helper()
	if a := w.command("PAUSE"); a.status != 202 {
		w.t.Fatalf("PAUSE: %+v", a)
	}
	return w
}

func (w wire) refresh() answer {
	w.t.Helper()
	return call(w.t, w.Server, w.token, "POST", refreshPath, `{"action":"SECRET_REFRESH"}`)
}

// back has the runner log in again after a refresh.
func (w wire) back() wire {
	w.t.Helper()
	w.ConsoleRefresh(id)
	login(w.t, w.Server)
	return w
}

// shows reads the agent at times after now, and compares a field.
func (w wire) shows(field string, at map[time.Duration]any) {
	w.t.Helper()
	began := time.Now()
	var times []time.Duration
	for after := range at {
		times = append(times, after)
	}
	slices.Sort(times)
	for _, after := range times {
		<-time.After(after - time.Since(began))
		if got := w.agent()[field]; got != at[after] {
			w.t.Errorf("after %v: %s is %v, want %v", after, field, got, at[after])
		}
	}
}

// secret reads the credentials.
func (w wire) secret() string {
	w.t.Helper()
	text, _ := w.get(refreshPath).body["clientSecret"].(string)
	return text
}

// took makes a call and returns how long it took.
func (w wire) took(do func() answer) time.Duration {
	w.t.Helper()
	began := time.Now()
	if a := do(); a.err != nil || a.status/100 != 2 {
		w.t.Errorf("%+v", a)
	}
	return time.Since(began)
}

// until parses a pausedUntil in a given form.
func until(t testing.TB, layout string, value any) time.Time {
	t.Helper()
	text, _ := value.(string)
	at, err := time.Parse(layout, text)
	if err != nil || at.Format(layout) != text {
		t.Errorf("pausedUntil is %v, want it like %s", value, layout)
	}
	return at
}

// onTheWire is what a client sees of each quirk.
func onTheWire() map[string]func(testing.TB, wire) {
	standsStill := func(layout string) func(testing.TB, wire) {
		return func(t testing.TB, w wire) {
			first := w.pause().agent()["pausedUntil"]
			if end := until(t, layout, first); !end.Truncate(time.Second).Equal(w.began.Add(time.Hour)) {
				t.Errorf("ends at %v", end)
			}
			w.shows("pausedUntil", map[time.Duration]any{0: first, time.Millisecond: first, time.Minute: first})
			w.back().shows("pausedUntil", map[time.Duration]any{0: first, time.Minute: first})
		}
	}
	lags := func(lag time.Duration) func(testing.TB, wire) {
		return func(t testing.TB, w wire) {
			w.pause().shows("agentStatus", map[time.Duration]any{0: "running", lag - 1: "running", lag: "paused"})
			w.ConsoleRefresh(id)
			w.shows("connected", map[time.Duration]any{0: true, lag - 1: true, lag: false})
			login(t, w.Server)
			w.shows("agentStatus", map[time.Duration]any{0: "unknown", lag - 1: "unknown", lag: "paused"})
			w.command("RESUME")
			w.shows("agentStatus", map[time.Duration]any{0: "paused", lag - 1: "paused", lag: "running"})
		}
	}
	return map[string]func(testing.TB, wire){
		"paused-until-moves": func(t testing.TB, w wire) {
			first := until(t, time.RFC3339Nano, w.pause().agent()["pausedUntil"])
			second := until(t, time.RFC3339Nano, w.agent()["pausedUntil"])
			<-time.After(time.Minute)
			third := until(t, time.RFC3339Nano, w.agent()["pausedUntil"])
			if !second.After(first) || third.Sub(second) < time.Minute || first.Sub(w.began).Round(time.Second) != 24*time.Hour {
				t.Errorf("%v, %v, %v", first, second, third)
			}
		},
		"paused-until-moves-in-seconds": func(t testing.TB, w wire) {
			dayAfter := func(after time.Duration) string { return w.began.Add(24*time.Hour + after).UTC().Format(time.RFC3339) }
			w.pause().shows("pausedUntil", map[time.Duration]any{
				0: dayAfter(0), time.Second: dayAfter(time.Second), time.Minute: dayAfter(time.Minute),
			})
		},
		"paused-until-absent": func(t testing.TB, w wire) {
			agent := w.pause().agent()
			if _, there := agent["pausedUntil"]; there || agent["agentStatus"] != "paused" {
				t.Errorf("%v", agent)
			}
		},
		"paused-until-seconds":     standsStill("2006-01-02T15:04:05Z"),
		"paused-until-nanoseconds": standsStill("2006-01-02T15:04:05.000000000Z"),
		"paused-until-offset":      standsStill("2006-01-02T15:04:05+00:00"),
		"paused-until-epoch": func(_ testing.TB, w wire) {
			end := float64(w.began.Add(time.Hour).Unix())
			w.pause().shows("pausedUntil", map[time.Duration]any{0: end, time.Minute: end})
		},
		"paused-until-changes-on-reconnect": func(_ testing.TB, w wire) {
			first := w.began.Add(time.Hour).UTC().Format(time.RFC3339)
			w.pause().shows("pausedUntil", map[time.Duration]any{0: first, time.Minute: first})
			second := w.began.Add(time.Hour + time.Minute).UTC().Format(time.RFC3339)
			w.back().shows("pausedUntil", map[time.Duration]any{0: second, time.Minute: second})
			login(w.t, w.Server) // one more instance is no new connection
			w.shows("pausedUntil", map[time.Duration]any{0: second})
		},
		"pause-shows-after-20s": func(_ testing.TB, w wire) {
			w.pause().shows("agentStatus", map[time.Duration]any{0: "running", 20*time.Second - 1: "running", 20 * time.Second: "paused"})
			w.command("RESUME")
			w.shows("agentStatus", map[time.Duration]any{0: "running", time.Minute: "running"})
			w.pause().command("RESUME")
			w.shows("agentStatus", map[time.Duration]any{0: "running", time.Minute: "running"})
		},
		"pause-answer-lost": func(t testing.TB, w wire) {
			for range 2 {
				if a := w.command("PAUSE"); !errors.Is(a.err, io.EOF) {
					t.Errorf("%+v", a)
				}
				w.shows("agentStatus", map[time.Duration]any{0: "paused"})
				w.command("RESUME")
			}
		},
		"resume-answer-lost": func(t testing.TB, w wire) {
			for range 2 {
				if a := w.pause().command("RESUME"); !errors.Is(a.err, io.EOF) {
					t.Errorf("%+v", a)
				}
				w.shows("agentStatus", map[time.Duration]any{0: "running"})
			}
		},
		"connected-flaps": func(_ testing.TB, w wire) {
			w.shows("connected", map[time.Duration]any{2 * time.Second: true})
			w.back().shows("connected", map[time.Duration]any{
				0: true, time.Second: true, 2 * time.Second: false, 4*time.Second - 1: false, 4 * time.Second: true, 18*time.Second - 1: true,
				18 * time.Second: false, 20*time.Second - 1: false, 20 * time.Second: true, 22 * time.Second: true,
			})
		},
		"status-unknown-words": func(_ testing.TB, w wire) {
			w.shows("agentStatus", map[time.Duration]any{0: "running"})
			w.back().shows("agentStatus", map[time.Duration]any{
				0: "provisioning", 10*time.Second - 1: "provisioning", 10 * time.Second: "draining", 20*time.Second - 1: "draining",
				20 * time.Second: "running",
			})
		},
		"agent-lag-5s":  lags(5 * time.Second),
		"agent-lag-30s": lags(30 * time.Second),
		"agent-type-streaming": func(_ testing.TB, w wire) {
			w.shows("agentType", map[time.Duration]any{0: "streaming"})
		},
		"rate-limit-120s": func(t testing.TB, w wire) {
			limited := func(want bool, left time.Duration) {
				t.Helper()
				a := w.get("/v1/agents/" + id)
				if got := a.status == 429; got != want || got && a.header.Get("Retry-After") != strconv.Itoa(int(left/time.Second)) {
					t.Errorf("%d, Retry-After %q, want limited %v", a.status, a.header.Get("Retry-After"), want)
				}
			}
			limited(false, 0)
			limited(false, 0)
			limited(true, 2*time.Minute)
			<-time.After(30 * time.Second)
			limited(true, 90*time.Second)
			<-time.After(90 * time.Second)
			limited(false, 0)
			w.back()
			<-time.After(time.Minute)
			limited(true, 2*time.Minute)
			<-time.After(2 * time.Minute)
			limited(false, 0)
			<-time.After(time.Hour)
			w.token = token(t, w.Server)
			limited(false, 0)
		},
		"reads-25s": func(t testing.TB, w wire) {
			for range 2 {
				for _, path := range []string{"/v1/agents/" + id, refreshPath} {
					for _, want := range []time.Duration{25 * time.Second, 0, 0} {
						if got := w.took(func() answer { return w.get(path) }); got != want {
							t.Errorf("%s took %v, want %v", path, got, want)
						}
					}
				}
				if got := w.took(w.refresh); got != 0 {
					t.Errorf("the refresh took %v", got)
				}
			}
		},
		"refresh-25s": func(t testing.TB, w wire) {
			time.AfterFunc(time.Second, func() {
				if w.Refreshes(id) != 1 {
					t.Error("it is not carried out at once")
				}
			})
			if got := w.took(w.refresh); got != 25*time.Second {
				t.Errorf("took %v", got)
			}
		},
		"commands-25s": func(t testing.TB, w wire) {
			for _, name := range []string{"PAUSE", "RESUME"} {
				if got := w.took(func() answer { return w.command(name) }); got != 25*time.Second {
					t.Errorf("%s took %v", name, got)
				}
			}
		},
		"credentials-lag-5s":  secretLag(5 * time.Second),
		"credentials-lag-30s": secretLag(30 * time.Second),
		"credentials-go-back": func(t testing.TB, w wire) {
			before := secret
			for range 2 {
				w.refresh()
				fresh := w.LiveSecret(id)
				if got := []string{w.secret(), w.secret(), w.secret(), w.secret()}; !slices.Equal(got, []string{fresh, before, fresh, fresh}) {
					t.Errorf("%v after %s became %s", got, before, fresh)
				}
				before = fresh
			}
		},
	}
}

func secretLag(lag time.Duration) func(testing.TB, wire) {
	return func(t testing.TB, w wire) {
		if a := w.refresh(); a.body["clientSecret"] != w.LiveSecret(id) {
			t.Errorf("the refresh itself answers %v", a.body)
		}
		for _, at := range []struct {
			wait time.Duration
			want string
		}{{0, secret}, {lag - 1, secret}, {1, w.LiveSecret(id)}, {time.Minute, w.LiveSecret(id)}} {
			<-time.After(at.wait)
			if got := w.secret(); got != at.want {
				t.Errorf("%s, want %s", got, at.want)
			}
		}
	}
}

// Each quirk shows on the wire, whether it is played from the start or later, and nothing of it does without.
func TestQuirks(t *testing.T) {
	checks := onTheWire()
	for _, quirk := range maiatest.Quirks() {
		check := checks[quirk.Name]
		delete(checks, quirk.Name)
		if check == nil || quirk.Behaviour == "" || quirk.Source == "" {
			t.Errorf("%+v is not documented or not tested", quirk)
			continue
		}
		for _, how := range []string{"from the start", "from now on"} {
			t.Run(quirk.Name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var opts []maiatest.Option
					if how == "from the start" {
						opts = append(opts, maiatest.WithQuirk(quirk.Name))
					}
					s := newServer(t, opts...)
					login(t, s)
					if len(opts) == 0 {
						if err := s.Play(quirk.Name); err != nil {
							t.Fatal(err)
						}
					}
					check(t, wire{s, t, token(t, s), time.Now()})
				})
			})
		}
	}
	for name := range checks {
		t.Errorf("%s is tested and is no quirk", name)
	}
}

// Quirks go together; those in the same thing are played in the order in which they are named.
func TestQuirksGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, maiatest.WithQuirk("pause-answer-lost", "resume-answer-lost"),
			maiatest.WithQuirk("paused-until-absent", "paused-until-epoch"))
		login(t, s)
		w := wire{s, t, token(t, s), time.Now()}
		for _, name := range []string{"PAUSE", "RESUME", "PAUSE"} {
			if a := w.command(name); !errors.Is(a.err, io.EOF) {
				t.Errorf("%s: %+v", name, a)
			}
		}
		w.shows("pausedUntil", map[time.Duration]any{0: float64(w.began.Add(time.Hour).Unix())})
	})
}

func TestUnknownQuirk(t *testing.T) {
	s := newServer(t)
	if err := s.Play("paused-until-absent", "no-such-quirk"); err == nil || !strings.Contains(err.Error(), `"no-such-quirk"`) {
		t.Errorf("got %v", err)
	}
	login(t, s)
	w := wire{s, t, token(t, s), time.Now()}
	if w.pause().agent()["pausedUntil"] == nil {
		t.Error("a name that is wrong, and the others are played all the same")
	}
	defer func() {
		if recover() == nil {
			t.Error("WithQuirk takes whatever name")
		}
	}()
	maiatest.New(maiatest.WithQuirk("no-such-quirk"))
}

// A client reads the agent in all its forms, and whatever is slow.
func TestClientUnderEachQuirk(t *testing.T) {
	for _, quirk := range maiatest.Quirks() {
		t.Run(quirk.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, maiatest.WithQuirk(quirk.Name))
				login(t, s)
				client := s.Client(t)
				if err := client.Command(t.Context(), id, maia.CommandPause); err != nil && !errors.Is(err, maia.ErrUnavailable) {
					t.Error(err)
				}
				<-time.After(30 * time.Second)
				agent, err := client.Agent(t.Context(), id)
				if err != nil || agent.Status != maia.StatusPaused {
					t.Errorf("%+v, %v", agent, err)
				}
				_, err = client.RefreshCredentials(t.Context(), id)
				if err != nil && !errors.Is(err, maia.ErrOutcomeUnknown) && !errors.Is(err, maia.ErrRateLimited) {
					t.Error(err)
				}
				login(t, s)
				if err := client.Command(t.Context(), id, maia.CommandResume); err != nil && !errors.Is(err, maia.ErrUnavailable) {
					t.Error(err)
				}
				<-time.After(30 * time.Second)
				if agent, err = client.Agent(t.Context(), id); err != nil || agent.Status != maia.StatusRunning || !agent.Connected {
					t.Errorf("%+v, %v", agent, err)
				}
				if got, err := client.Credentials(t.Context(), id); err != nil || got.ClientSecret.Reveal() != s.LiveSecret(id) {
					t.Errorf("%v, %v", got, err)
				}
			})
		})
	}
}
