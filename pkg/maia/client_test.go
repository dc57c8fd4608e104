package maia_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

func TestAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		if _, err := fake.Connect(agentID, "client", secret); err != nil {
			t.Fatal(err)
		}
		fake.ConsolePause(agentID, time.Hour)
		agent, err := fake.Client(t).Agent(t.Context(), strings.ToUpper(agentID))
		want := maia.Agent{
			ID: agentID, Name: "runner", Description: "a runner", Status: maia.StatusPaused, Type: "data_productivity_cloud",
			CloudProvider: "aws", Deployment: "fargate", Version: "10.1234.0", Track: "current", Connected: true,
			PausedUntil: time.Now().Add(time.Hour).UTC(),
		}
		if err != nil || agent != want {
			t.Errorf("got %+v, %v\nwant %+v", agent, err, want)
		}
	})
}

func TestCommands(t *testing.T) {
	fake := newFake(t)
	if _, err := fake.Connect(agentID, "client", secret); err != nil {
		t.Fatal(err)
	}
	client := fake.Client(t)
	for _, tt := range []struct {
		command maia.Command
		want    maia.AgentStatus
	}{
		{maia.CommandPause, maia.StatusPaused}, {maia.CommandResume, maia.StatusRunning}, {maia.CommandRestart, maia.StatusRunning},
	} {
		if err := client.Command(t.Context(), agentID, tt.command); err != nil {
			t.Errorf("%s: %v", tt.command, err)
		}
		if agent, err := client.Agent(t.Context(), agentID); err != nil || agent.Status != tt.want {
			t.Errorf("after %s: %+v, %v", tt.command, agent, err)
		}
	}
}

func TestCredentialsRead(t *testing.T) {
	got, err := newFake(t).Client(t).Credentials(t.Context(), agentID)
	if want := (maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret(secret)}); err != nil || !got.Equal(want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAgentsAllPages(t *testing.T) {
	for _, n := range []int{0, 1, 24, 25, 26, 50, 77} {
		fake := maiatest.New()
		for i := range n {
			fake.AddAgent(maiatest.AgentSpec{ID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)})
		}
		agents, err := fake.Client(t).Agents(t.Context())
		if err != nil || len(agents) != n {
			t.Fatalf("%d agents: got %d, %v", n, len(agents), err)
		}
		for i, agent := range agents {
			if want := fmt.Sprintf("%08x-0000-4000-8000-000000000000", i); agent.ID != want {
				t.Errorf("agent %d is %s", i, agent.ID)
			}
		}
		if got, want := count(fake, maiatest.ListAgents), max(1, (n+24)/25); got != want {
			t.Errorf("%d agents: %d pages were read, want %d", n, got, want)
		}
	}
}

// listing renders a page of agents with the numbers from..to-1.
func listing(from, to int, rest string) string {
	var results []string
	for i := from; i < to; i++ {
		results = append(results, fmt.Sprintf(`{"agentId":"%08x","connected":true}`, i))
	}
	return `{"results":[` + strings.Join(results, ",") + `]` + rest + `}`
}

func TestAgentsOddListings(t *testing.T) {
	for _, tt := range []struct {
		name  string
		page  func(n int) string
		want  int
		pages int
		fails string
	}{
		{"total too high", func(n int) string { return listing(n*2, min(n*2+2, 5), `,"size":2,"total":1000`) }, 5, 3, ""},
		{"total too high and an empty page", func(n int) string { return listing(n*2, min(n*2+2, 4), `,"size":2,"total":1000`) }, 4, 3, ""},
		{"no total", func(n int) string { return listing(n*2, min(n*2+2, 4), `,"size":2`) }, 4, 3, ""},
		{"no size", func(n int) string { return listing(n*25, min(n*25+25, 30), ``) }, 30, 2, ""},
		{"an agent comes again as the pages shift", func(n int) string { return listing(n, n+2, `,"size":2,"total":4`) }, 4, 3, ""},
		{"one page for ever", func(int) string { return listing(0, 2, `,"size":2,"total":1000`) }, 0, 2, "page 1 repeats earlier ones"},
		{"new agents for ever", func(n int) string { return listing(n, n+1, `,"size":1`) }, 0, 400, "more than 400 pages"},
		{"no results", func(int) string { return `{"page":0}` }, 0, 1, "results is missing"},
		{"null", func(int) string { return `null` }, 0, 1, "results is missing"},
		{"array", func(int) string { return `[]` }, 0, 1, "not a JSON object"},
		{"results of another type", func(int) string { return `{"results":"` + secret + `"}` }, 0, 1, "results has the wrong type"},
		{"agent without an ID", func(int) string { return `{"results":[{"name":"x"}]}` }, 0, 1, "agentId is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pages := 0
			client := newClient(t, withToken(func(r *http.Request) (*http.Response, error) {
				if want := fmt.Sprintf("page=%d", pages); r.URL.RawQuery != want {
					t.Fatalf("asked for %q, want %q", r.URL.RawQuery, want)
				}
				pages++
				return answer(200, tt.page(pages-1)), nil
			}))
			agents, err := client.Agents(t.Context())
			if len(agents) != tt.want || pages != tt.pages {
				t.Errorf("%d agents on %d pages, want %d on %d", len(agents), pages, tt.want, tt.pages)
			}
			if tt.fails == "" && err != nil {
				t.Error(err)
			}
			if tt.fails != "" {
				wantError(t, err, maia.ErrInvalidReply, "list agents", tt.fails)
			}
		})
	}
}

// Fields that are absent, null, new or in upper case do no harm.
func TestAgentTolerates(t *testing.T) {
	for _, body := range []string{
		`{"agentId":"` + agentID + `"}`,
		`{"agentId":"` + agentID + `","pausedUntil":null,"versionDetails":null,"name":null,"agentStatus":null}`,
		`{"agentId":"` + agentID + `","somethingNew":{"a":[1]},"pausedUntil":""}`,
	} {
		client := newClient(t, withToken(func(*http.Request) (*http.Response, error) { return answer(200, body), nil }))
		agent, err := client.Agent(t.Context(), agentID)
		if want := (maia.Agent{ID: agentID}); err != nil || agent != want {
			t.Errorf("%s: %+v, %v", body, agent, err)
		}
	}
}

func TestStatusErrors(t *testing.T) {
	problem := `{"type":"https://api.matillion.com/problems/x","title":"Not today","status":400,"detail":"ask\r\nagain` + "\u202e" + `"}`
	for _, tt := range []struct {
		status int
		kind   error
		parts  []string
	}{
		{400, maia.ErrRejected, []string{"status 400: Not today: askagain"}},
		{401, maia.ErrUnauthorized, []string{"MAIA API credential"}},
		{403, maia.ErrForbidden, []string{"needs the role Admin (or Super Admin)"}},
		{404, maia.ErrNotFound, []string{agentID, "not found"}},
		{408, maia.ErrUnavailable, nil},
		{409, maia.ErrRejected, nil},
		{500, maia.ErrUnavailable, []string{"status 500"}},
		{501, maia.ErrUnavailable, nil},
		{304, maia.ErrInvalidReply, []string{"status 304", "redirects are not followed"}},
		{199, maia.ErrInvalidReply, []string{"status 199"}},
	} {
		t.Run(http.StatusText(tt.status), func(t *testing.T) {
			n := 0
			client := newClient(t, withToken(func(*http.Request) (*http.Response, error) {
				n++
				return answer(tt.status, problem, "Content-Type", "application/problem+json"), nil
			}))
			_, err := client.Agent(t.Context(), agentID)
			e := wantError(t, err, tt.kind, append(tt.parts, "maia: get agent "+agentID)...)
			if e.Op != "get agent" || e.AgentID != agentID || e.StatusCode != tt.status || e.Kind != tt.kind {
				t.Errorf("%+v", e)
			}
			if e.Title != "Not today" || e.Detail != "askagain" || n != 1 {
				t.Errorf("%d requests, %+v", n, e)
			}
		})
	}
}

func TestProblemTexts(t *testing.T) {
	long := strings.Repeat("é", 500)
	for _, tt := range []struct{ name, media, body, title, detail string }{
		{"long", "application/problem+json", `{"title":"` + long + `"}`, long[:400] + "…", ""},
		{"quotes the token", "application/problem+json; charset=utf-8", `{"detail":"bad token ` + apiToken + `"}`, "", "bad token [redacted]"},
		{"quotes the API credential", "application/problem+json", `{"title":"for ` + apiSecret + `"}`, "for [redacted]", ""},
		{"plain JSON", "application/json", `{"title":"a"}`, "a", ""},
		{"HTML", "text/html", `<title>a</title>`, "", ""},
		{"broken media type", "application/;", `{"title":"a"}`, "", ""},
		{"not JSON", "application/problem+json", `<`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := newClient(t, withToken(func(*http.Request) (*http.Response, error) {
				return answer(400, tt.body, "Content-Type", tt.media), nil
			}))
			e := wantError(t, client.Command(t.Context(), agentID, maia.CommandRestart), maia.ErrRejected, "restart agent "+agentID)
			if e.Title != tt.title || e.Detail != tt.detail {
				t.Errorf("title %q, detail %q", e.Title, e.Detail)
			}
		})
	}
}

// A 404 that is about no agent must not say that an agent is missing.
func TestNotFoundWithoutAgent(t *testing.T) {
	client := newClient(t, withToken(func(*http.Request) (*http.Response, error) { return answer(404, ``), nil }))
	_, err := client.Agents(t.Context())
	wantError(t, err, maia.ErrRejected, "list agents", "check the API URL")
	if errors.Is(err, maia.ErrNotFound) {
		t.Error("is ErrNotFound")
	}
}
