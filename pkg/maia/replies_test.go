package maia_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Every unusable 2xx is ErrInvalidReply for a read and ErrOutcomeUnknown for the refresh, and neither quotes it.
func TestBadCredentialsReplies(t *testing.T) {
	for _, tt := range []struct{ name, media, body, want string }{
		{"empty", "", ``, "the answer is empty"},
		{"truncated JSON", "", `{"clientId":"client","clientSecret":"` + secret, "not valid JSON"},
		{"two documents", "", `{"clientId":"client","clientSecret":"` + secret + `"}{}`, "not valid JSON"},
		{"garbage", "", "\x00\x01" + secret, "not valid JSON"},
		{"HTML", "text/html; charset=utf-8", `<html>` + secret + `</html>`, "HTML page"},
		{"HTML called JSON", "", `<html>` + secret + `</html>`, "not valid JSON"},
		{"JSON called HTML", "text/html", `{"clientId":"client","clientSecret":"` + secret + `"}`, "HTML page"},
		{"array", "", `["` + secret + `"]`, "not a JSON object"},
		{"string", "", `"` + secret + `"`, "not a JSON object"},
		{"null", "", `null`, "client ID is empty"},
		{"secret is a number", "", `{"clientId":"client","clientSecret":1234567890}`, "clientSecret is not a string"},
		{"secret is null", "", `{"clientId":"client","clientSecret":null}`, "clientSecret is not a string"},
		{"secret is an object", "", `{"clientId":"client","clientSecret":{"value":"` + secret + `"}}`, "clientSecret is not a string"},
		{"client ID is a number", "", `{"clientId":1234567890,"clientSecret":"` + secret + `"}`, "clientId has the wrong type"},
		{"no client ID", "", `{"clientSecret":"` + secret + `"}`, "client ID is empty"},
		{"no secret", "", `{"clientId":"client"}`, "client secret is empty"},
		{"empty secret", "", `{"clientId":"client","clientSecret":""}`, "client secret is empty"},
		{"masked", "", `{"clientId":"client","clientSecret":"****"}`, "client secret is masked"},
		{"bullets", "", `{"clientId":"client","clientSecret":"••••••••"}`, "client secret is masked"},
		{"short", "", `{"clientId":"client","clientSecret":"short"}`, "fewer than 8"},
		{"10 MB", "", `{"clientId":"client","clientSecret":"` + secret + `","x":"` + strings.Repeat(secret, 400_000) + `"}`,
			"larger than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			posts := 0
			client := newClient(t, withToken(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPost {
					posts++
				}
				if tt.media != "" {
					return answer(200, tt.body, "Content-Type", tt.media), nil
				}
				return answer(200, tt.body), nil
			}))
			_, readErr := client.Credentials(t.Context(), agentID)
			wantError(t, readErr, maia.ErrInvalidReply, "get credentials of agent "+agentID, tt.want)
			_, refreshErr := client.RefreshCredentials(t.Context(), agentID)
			wantError(t, refreshErr, maia.ErrOutcomeUnknown, "refresh credentials of agent "+agentID, tt.want)
			if posts != 1 {
				t.Errorf("%d refreshes were sent", posts)
			}
			for _, err := range []error{readErr, refreshErr} {
				if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "1234567890") {
					t.Errorf("leaked: %v", err)
				}
			}
		})
	}
}

func TestBadAgentReplies(t *testing.T) {
	for _, tt := range []struct{ name, media, body, want string }{
		{"another agent", "", `{"agentId":"` + otherID + `"}`, "another agent"},
		{"no agent", "", `{}`, "agentId is missing"},
		{"ID with a path", "", `{"agentId":"../` + secret + `"}`, "agentId is missing or is no agent ID"},
		{"connected is a string", "", `{"agentId":"` + agentID + `","connected":"` + secret + `"}`, "connected has the wrong type"},
		{"status is a number", "", `{"agentId":"` + agentID + `","agentStatus":7}`, "agentStatus has the wrong type"},
		{"connected is null and a number", "", `{"agentId":"` + agentID + `","connected":null,"connected":1}`, "connected has the wrong type"},
		{"HTML", "text/html", `<html>` + secret, "HTML page"},
		{"empty", "", ``, "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			client := newClient(t, withToken(func(*http.Request) (*http.Response, error) {
				n++
				if tt.media != "" {
					return answer(200, tt.body, "Content-Type", tt.media), nil
				}
				return answer(200, tt.body), nil
			}))
			_, err := client.Agent(t.Context(), agentID)
			wantError(t, err, maia.ErrInvalidReply, "get agent "+agentID, tt.want)
			if n != 1 || strings.Contains(err.Error(), secret) {
				t.Errorf("%d requests, %v", n, err)
			}
		})
	}
}

// A pause's end in a form that nobody has documented leaves the agent readable: a paused runner that cannot be read stays paused.
func TestPausedUntilInWhateverForm(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Time{
		`"2026-03-01T12:00:00Z"`:           at,
		`"2026-03-01T12:00:00+00:00"`:      at,
		`"2026-03-01T13:00:00+0100"`:       at,
		`"2026-03-01T12:00:00.123456789Z"`: at.Add(123456789),
		`1772366400`:                       at,
		`1772366400.5`:                     at.Add(500 * time.Millisecond),
		`1772366400123`:                    at.Add(123 * time.Millisecond),
		`1.7723664e9`:                      at,
		`"2026-03-01T12:00:00"`:            {},
		`"9999-12-31T23:59:59-01:00"`:      {},
		`"tomorrow"`:                       {},
		`"1772366400"`:                     {},
		`0`:                                {},
		`-1`:                               {},
		`1e300`:                            {},
		`1e999`:                            {},
		`null`:                             {},
		`""`:                               {},
		`true`:                             {},
		`{"at":"2026-03-01T12:00:00Z"}`:    {},
		`[1772366400]`:                     {},
	} {
		client := newClient(t, withToken(func(*http.Request) (*http.Response, error) {
			return answer(200, `{"agentId":"`+agentID+`","agentStatus":"paused","connected":true,"pausedUntil":`+value+`}`), nil
		}))
		agent, err := client.Agent(t.Context(), agentID)
		if err != nil || !agent.PausedUntil.Equal(want) || agent.Status != maia.StatusPaused || !agent.Connected {
			t.Errorf("%s: %+v, %v, want %v", value, agent, err, want)
		}
	}
}

// What a rotation does not rest on may be of another type, in an agent and in a listing.
func TestRepliesTolerateWhatIsNotNeeded(t *testing.T) {
	for _, value := range []string{`7`, `null`, `true`, `"x"`, `["x"]`, `{"x":{"y":1}}`} {
		agent := `{"agentId":"` + agentID + `","agentStatus":"running","connected":true`
		for _, field := range []string{"name", "description", "agentType", "cloudProvider", "deployment", "versionDetails", "tags"} {
			agent += `,"` + field + `":` + value
		}
		agent += `}`
		client := newClient(t, withToken(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/agents") {
				return answer(200, `{"results":[`+agent+`],"page":`+value+`,"size":`+value+`,"total":`+value+`}`), nil
			}
			return answer(200, agent), nil
		}))
		want := maia.Agent{ID: agentID, Status: maia.StatusRunning, Connected: true}
		if value == `"x"` {
			want.Name, want.Description, want.Type, want.CloudProvider, want.Deployment = "x", "x", "x", "x", "x"
		}
		if got, err := client.Agent(t.Context(), agentID); err != nil || got != want {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
		if got, err := client.Agents(t.Context()); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
}

// A command's answer needs no body, but a web page is no answer.
func TestCommandReplies(t *testing.T) {
	for body, media := range map[string]string{"": "", "not JSON": "text/plain", `{"a":1}`: "application/json"} {
		client := newClient(t, withToken(func(*http.Request) (*http.Response, error) {
			return answer(202, body, "Content-Type", media), nil
		}))
		if err := client.Command(t.Context(), agentID, maia.CommandPause); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
	client := newClient(t, withToken(func(*http.Request) (*http.Response, error) {
		return answer(200, "<html>", "Content-Type", "text/html"), nil
	}))
	wantError(t, client.Command(t.Context(), agentID, maia.CommandPause), maia.ErrInvalidReply, "pause agent", "HTML page")
}

// Redirects to another host are not followed, over a real connection: neither the token nor the API credential goes there.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		var redirectToken atomic.Bool
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isTokenRequest(r) && !redirectToken.Load() {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"access_token":"` + apiToken + `"}`))
				return
			}
			http.Redirect(w, r, other.URL+"/"+secret, status)
		}))
		for _, tokens := range []bool{false, true} {
			redirectToken.Store(tokens)
			client, err := maia.New(maia.Config{APIURL: server.URL + "/dpc", TokenURL: server.URL + "/token", ClientID: "api",
				ClientSecret: maia.NewSecret(apiSecret), HTTPClient: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			for name, call := range idempotent(client) {
				if name == "Token" && !tokens {
					continue
				}
				err := call(t.Context())
				wantError(t, err, maia.ErrInvalidReply, "redirects are not followed: target host 127.0.0.1")
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the target's path is in %v", err)
				}
			}
			_, err = client.RefreshCredentials(t.Context(), agentID)
			if tokens {
				wantError(t, err, maia.ErrInvalidReply, "fetch token")
			} else {
				wantError(t, err, maia.ErrOutcomeUnknown, "target host 127.0.0.1")
			}
		}
		server.Close()
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went to the other host", n)
	}
}
