package maiatest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// want reads the agent and compares what changes.
func want(t testing.TB, s *maiatest.Server, status maia.AgentStatus, connected bool, pausedUntil time.Time) {
	t.Helper()
	got, err := s.Client(t).Agent(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != status || got.Connected != connected || !got.PausedUntil.Equal(pausedUntil) {
		t.Errorf("got %s, connected %v, paused until %v; want %s, %v, %v", got.Status, got.Connected, got.PausedUntil, status, connected,
			pausedUntil)
	}
}

func command(t testing.TB, s *maiatest.Server, c maia.Command) {
	t.Helper()
	if err := s.Client(t).Command(t.Context(), id, c); err != nil {
		t.Fatal(err)
	}
}

func refresh(t testing.TB, s *maiatest.Server) string {
	t.Helper()
	credentials, err := s.Client(t).RefreshCredentials(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return credentials.ClientSecret.Reveal()
}

func TestRefreshRevokesAndDisconnects(t *testing.T) {
	s := newServer(t)
	want(t, s, maia.StatusUnknown, false, time.Time{})
	one, two := login(t, s), login(t, s)
	want(t, s, maia.StatusRunning, true, time.Time{})
	s.SetRunningTasks(id, 3)

	fresh := refresh(t, s)
	if one.Connected() || two.Connected() || s.Accepts(id, "client", secret) || !s.Accepts(id, "client", fresh) ||
		s.Accepts(id, "other", fresh) {
		t.Error("the old secret is not revoked")
	}
	if s.LiveSecret(id) != fresh || !slices.Equal(s.Revoked(id), []string{secret}) || s.Refreshes(id) != 1 || s.Lost(id) != 3 {
		t.Errorf("live %s, revoked %v, %d refreshes, %d lost", s.LiveSecret(id), s.Revoked(id), s.Refreshes(id), s.Lost(id))
	}
	want(t, s, maia.StatusUnknown, false, time.Time{})
	if _, err := s.Connect(id, "client", secret); !errors.Is(err, maiatest.ErrLoginRefused) {
		t.Errorf("login with the revoked secret: %v", err)
	}
	login(t, s)
	want(t, s, maia.StatusRunning, true, time.Time{})

	second := refresh(t, s)
	if !slices.Equal(s.Revoked(id), []string{secret, fresh}) || s.Lost(id) != 3 || second == fresh {
		t.Errorf("revoked %v, lost %d", s.Revoked(id), s.Lost(id))
	}
}

func TestConnectedWhileAnInstanceIs(t *testing.T) {
	s := newServer(t)
	one, two := login(t, s), login(t, s)
	one.Close()
	one.Close()
	want(t, s, maia.StatusRunning, true, time.Time{})
	two.Close()
	want(t, s, maia.StatusUnknown, false, time.Time{})
	if one.Connected() || two.Connected() {
		t.Error("a closed instance is connected")
	}
}

func TestPauseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, maiatest.WithPauseLength(10*time.Minute))
		login(t, s)
		s.SetRunningTasks(id, 2)
		command(t, s, maia.CommandPause)
		until := time.Now().Add(10 * time.Minute)
		want(t, s, maia.StatusPausing, true, until)
		s.FinishTasks(id)
		want(t, s, maia.StatusPaused, true, until)
		<-time.After(time.Minute)
		command(t, s, maia.CommandPause) // starts the time anew
		want(t, s, maia.StatusPaused, true, until.Add(time.Minute))
		command(t, s, maia.CommandResume)
		want(t, s, maia.StatusRunning, true, time.Time{})
		command(t, s, maia.CommandPause)
		<-time.After(10*time.Minute - 1)
		want(t, s, maia.StatusPaused, true, until.Add(time.Minute))
		<-time.After(1)
		want(t, s, maia.StatusRunning, true, time.Time{})
		if s.Lost(id) != 0 {
			t.Errorf("%d tasks lost", s.Lost(id))
		}
	})
}

func TestPauseOutlivesRefreshAndLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		login(t, s)
		command(t, s, maia.CommandPause)
		until := time.Now().Add(time.Hour)
		refresh(t, s)
		want(t, s, maia.StatusUnknown, false, time.Time{})
		login(t, s)
		want(t, s, maia.StatusPaused, true, until)
		command(t, s, maia.CommandResume)
		want(t, s, maia.StatusRunning, true, time.Time{})
	})
}

func TestPauseOfADisconnectedAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		command(t, s, maia.CommandPause)
		until := time.Now().Add(time.Hour)
		want(t, s, maia.StatusPausing, false, until)
		<-time.After(30 * time.Minute)
		want(t, s, maia.StatusPausing, false, until)
		login(t, s)
		want(t, s, maia.StatusPaused, true, until)
	})
}

func TestConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		instance := login(t, s)
		s.ConsolePause(id, 2*time.Hour)
		want(t, s, maia.StatusPaused, true, time.Now().Add(2*time.Hour))
		s.ConsoleResume(id)
		want(t, s, maia.StatusRunning, true, time.Time{})
		if fresh := s.ConsoleRefresh(id); fresh == secret || fresh != s.LiveSecret(id) || instance.Connected() || s.Refreshes(id) != 0 {
			t.Errorf("%s, %d refreshes", fresh, s.Refreshes(id))
		}
	})
}

func TestTasksEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := maiatest.New()
		defer s.Close()
		s.AddAgent(maiatest.AgentSpec{ID: id, ClientID: "client", RunningTasks: 2, TaskDuration: time.Minute})
		login(t, s)
		command(t, s, maia.CommandPause)
		until := time.Now().Add(time.Hour)
		<-time.After(time.Minute - 1)
		want(t, s, maia.StatusPausing, true, until)
		<-time.After(1)
		want(t, s, maia.StatusPaused, true, until)
		refresh(t, s)
		if s.Lost(id) != 0 {
			t.Errorf("%d tasks lost", s.Lost(id))
		}
	})
}

func TestReadLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, maiatest.WithReadLag(time.Minute))
		read := func() string {
			t.Helper()
			credentials, err := s.Client(t).Credentials(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return credentials.ClientSecret.Reveal()
		}
		first := refresh(t, s)
		<-time.After(30 * time.Second)
		second := refresh(t, s)
		if got := read(); got != secret {
			t.Errorf("at once: %s", got)
		}
		<-time.After(30 * time.Second)
		if got := read(); got != first {
			t.Errorf("after a minute: %s", got)
		}
		<-time.After(30 * time.Second)
		if got := read(); got != second || got != s.LiveSecret(id) {
			t.Errorf("after a minute more: %s", got)
		}
	})
}

func TestConnectedLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, maiatest.WithConnectedLag(time.Minute))
		login(t, s)
		want(t, s, maia.StatusUnknown, false, time.Time{})
		<-time.After(time.Minute)
		want(t, s, maia.StatusRunning, true, time.Time{})
		refresh(t, s)
		want(t, s, maia.StatusRunning, true, time.Time{})
		<-time.After(time.Minute)
		want(t, s, maia.StatusUnknown, false, time.Time{})
	})
}

func TestSetStatus(t *testing.T) {
	s := newServer(t)
	login(t, s)
	s.SetStatus(id, "stopping")
	want(t, s, maia.StatusStopping, true, time.Time{})
	s.SetStatus(id, "")
	want(t, s, maia.StatusRunning, true, time.Time{})
}

func TestAddAgentFillsIn(t *testing.T) {
	s := maiatest.New()
	s.AddAgent(maiatest.AgentSpec{ID: id, Name: "n", Description: "d"})
	got, err := s.Client(t).Agent(t.Context(), strings.ToUpper(id))
	if err != nil || got.Type != "data_productivity_cloud" || got.CloudProvider != "aws" || got.Deployment != "fargate" ||
		got.Name != "n" || got.Description != "d" || got.Version == "" || got.Track != "current" {
		t.Errorf("%+v, %v", got, err)
	}
	credentials, err := s.Client(t).Credentials(t.Context(), id)
	if err != nil || credentials.ClientID != "client-"+id || credentials.ClientSecret.Reveal() != s.LiveSecret(id) {
		t.Errorf("%+v, %v", credentials, err)
	}
}

func TestMisuseIsReported(t *testing.T) {
	s := newServer(t)
	for name, misuse := range map[string]func(){
		"no ID":         func() { s.AddAgent(maiatest.AgentSpec{}) },
		"twice":         func() { s.AddAgent(maiatest.AgentSpec{ID: strings.ToUpper(id)}) },
		"unknown agent": func() { s.LiveSecret("ffffffff") },
		"unknown call":  func() { s.Inject(maiatest.Fault{Call: "Refresh"}) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "maiatest: ") {
					t.Errorf("%s: panic %q", name, text)
				}
			}()
			misuse()
			t.Errorf("%s: no panic", name)
		}()
	}
}
