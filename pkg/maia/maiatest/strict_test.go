package maiatest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

func TestAPIIsStrict(t *testing.T) {
	const agent = "/v1/agents/" + id
	refresh := `{"action":"SECRET_REFRESH"}`
	for _, tt := range []struct {
		name, method, path, body string
		headers                  map[string]string // "" removes
		status                   int
	}{
		{"list", "GET", "/v1/agents", "", nil, 200},
		{"page", "GET", "/v1/agents?page=0", "", nil, 200},
		{"page that is no number", "GET", "/v1/agents?page=x", "", nil, 400},
		{"negative page", "GET", "/v1/agents?page=-1", "", nil, 400},
		{"two pages", "GET", "/v1/agents?page=0&page=1", "", nil, 400},
		{"unknown parameter", "GET", "/v1/agents?size=9", "", nil, 400},
		{"parameter on an agent", "GET", agent + "?page=0", "", nil, 400},
		{"agent", "GET", agent, "", nil, 200},
		{"any media type", "GET", agent, "", map[string]string{"Accept": "*/*"}, 200},
		{"no Accept", "GET", agent, "", map[string]string{"Accept": ""}, 200},
		{"HTML wanted", "GET", agent, "", map[string]string{"Accept": "text/html"}, 406},
		{"GET with a body", "GET", agent, `{}`, nil, 400},
		{"no token", "GET", agent, "", map[string]string{"Authorization": ""}, 401},
		{"unknown token", "GET", agent, "", map[string]string{"Authorization": "Bearer x"}, 401},
		{"basic", "GET", agent, "", map[string]string{"Authorization": "Basic eDp5"}, 401},
		{"unknown agent", "GET", "/v1/agents/ffffffff", "", nil, 404},
		{"credentials", "GET", agent + "/credentials", "", nil, 200},
		{"credentials of an unknown agent", "GET", "/v1/agents/ffffffff/credentials", "", nil, 404},
		{"refresh", "POST", agent + "/credentials", refresh, nil, 200},
		{"refresh with a charset", "POST", agent + "/credentials", refresh, map[string]string{"Content-Type": "application/json; charset=utf-8"},
			200},
		{"refresh as text", "POST", agent + "/credentials", refresh, map[string]string{"Content-Type": "text/plain"}, 415},
		{"refresh without a content type", "POST", agent + "/credentials", refresh, map[string]string{"Content-Type": ""}, 415},
		{"refresh without a body", "POST", agent + "/credentials", "", map[string]string{"Content-Type": "application/json"}, 400},
		{"refresh with another action", "POST", agent + "/credentials", `{"action":"REFRESH"}`, nil, 400},
		{"refresh with a further field", "POST", agent + "/credentials", `{"action":"SECRET_REFRESH","force":true}`, nil, 400},
		{"refresh with another case", "POST", agent + "/credentials", `{"Action":"SECRET_REFRESH"}`, nil, 400},
		{"refresh with more than one document", "POST", agent + "/credentials", refresh + refresh, nil, 400},
		{"refresh of an unknown agent", "POST", "/v1/agents/ffffffff/credentials", refresh, nil, 404},
		{"pause", "POST", agent + "/commands", `{"command":"PAUSE"}`, nil, 202},
		{"resume", "POST", agent + "/commands", `{"command":"RESUME"}`, nil, 202},
		{"restart while disconnected", "POST", agent + "/commands", `{"command":"RESTART"}`, nil, 409},
		{"pause as text", "POST", agent + "/commands", `{"command":"PAUSE"}`, map[string]string{"Content-Type": "text/plain"}, 415},
		{"command in lower case", "POST", agent + "/commands", `{"command":"pause"}`, nil, 400},
		{"command with a further field", "POST", agent + "/commands", `{"command":"PAUSE","for":"1h"}`, nil, 400},
		{"no command", "POST", agent + "/commands", `[]`, nil, 400},
		{"delete", "DELETE", agent, "", nil, 405},
		{"put", "PUT", agent + "/credentials", refresh, nil, 405},
		{"commands read", "GET", agent + "/commands", "", nil, 405},
		{"post to the list", "POST", "/v1/agents", `{}`, nil, 405},
		{"unknown path below an agent", "GET", agent + "/secrets", "", nil, 404},
		{"path that goes on", "GET", agent + "/credentials/x", "", nil, 404},
		{"no agent", "GET", "/v1/agents/", "", nil, 404},
		{"unknown path", "GET", "/v2/agents", "", nil, 404},
		{"path that only begins alike", "GET", "/v1/agentsx/" + id + "/credentials", "", nil, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			headers := map[string]string{"Authorization": "Bearer " + token(t, s), "Accept": "application/json"}
			if tt.body != "" {
				headers["Content-Type"] = "application/json"
			}
			for key, value := range tt.headers {
				if headers[key] = value; value == "" {
					delete(headers, key)
				}
			}
			a := send(t, s.Transport(), tt.method, maiatest.APIURL("https://maia.test")+tt.path, tt.body, headers)
			if a.status != tt.status {
				t.Fatalf("got %+v, want %d", a, tt.status)
			}
			if a.status < 400 {
				return
			}
			path, _, _ := strings.Cut(tt.path, "?")
			if a.header.Get("Content-Type") != "application/problem+json" || a.body["status"] != float64(tt.status) ||
				!strings.HasPrefix(a.body["type"].(string), "https://api.matillion.com/problems/") || a.body["instance"] != path ||
				a.body["title"] != http.StatusText(tt.status) || a.body["detail"] == "" {
				t.Errorf("not a proper problem document: %+v", a)
			}
			if s.Refreshes(id) != 0 || s.LiveSecret(id) != secret {
				t.Error("a refused request changed something")
			}
		})
	}
}

func TestProblemType(t *testing.T) {
	s := newServer(t)
	a := call(t, s, token(t, s), "POST", "/v1/agents/"+id+"/commands", `{"command":"X"}`)
	if a.body["type"] != "https://api.matillion.com/problems/bad-request" {
		t.Errorf("%+v", a.body)
	}
}

func TestTokenEndpointIsStrict(t *testing.T) {
	form := "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name    string
		change  func(url.Values)
		method  string
		media   string
		auth    string
		query   string
		status  int
		problem string
	}{
		{name: "good", status: 200},
		{name: "charset", media: form + "; charset=utf-8", status: 200},
		{name: "GET", method: "GET", status: 405, problem: "invalid_request"},
		{name: "JSON", media: "application/json", status: 415, problem: "invalid_request"},
		{name: "query", query: "?audience=x", status: 400, problem: "invalid_request"},
		{name: "sent twice", auth: "Basic eDp5", status: 400, problem: "invalid_request"},
		{name: "parameter twice", change: func(v url.Values) { v.Add("audience", "x") }, status: 400, problem: "invalid_request"},
		{name: "grant type", change: func(v url.Values) { v.Set("grant_type", "password") }, status: 400, problem: "unsupported_grant_type"},
		{name: "audience", change: func(v url.Values) { v.Set("audience", "https://other.test") }, status: 403, problem: "access_denied"},
		{name: "no audience", change: func(v url.Values) { v.Del("audience") }, status: 403, problem: "access_denied"},
		{name: "client ID", change: func(v url.Values) { v.Set("client_id", "x") }, status: 401, problem: "invalid_client"},
		{name: "client secret", change: func(v url.Values) { v.Set("client_secret", "x") }, status: 401, problem: "invalid_client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, maiatest.WithAPICredential("api", "api-secret"))
			values := tokenForm(s)
			if tt.change != nil {
				tt.change(values)
			}
			if tt.media == "" {
				tt.media = form
			}
			if tt.method == "" {
				tt.method = "POST"
			}
			headers := map[string]string{"Content-Type": tt.media}
			if tt.auth != "" {
				headers["Authorization"] = tt.auth
			}
			a := send(t, s.Transport(), tt.method, maiatest.TokenURL("https://maia.test")+tt.query, values.Encode(), headers)
			if a.status != tt.status || tt.problem != "" && a.body["error"] != tt.problem {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, maiatest.WithTokenLifetime(time.Minute))
		text := token(t, s)
		<-time.After(time.Minute - 1)
		if a := call(t, s, text, "GET", "/v1/agents", ""); a.status != 200 {
			t.Errorf("%+v", a)
		}
		<-time.After(1)
		if a := call(t, s, text, "GET", "/v1/agents", ""); a.status != 401 {
			t.Errorf("%+v", a)
		}
	})
}

func TestExpiresIn(t *testing.T) {
	for _, present := range []bool{true, false} {
		s := newServer(t, maiatest.WithExpiresIn(present))
		a := send(t, s.Transport(), "POST", maiatest.TokenURL("https://maia.test"), tokenForm(s).Encode(),
			map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
		if lifetime, ok := a.body["expires_in"]; ok != present || present && lifetime != 1800.0 {
			t.Errorf("%v: %v", present, a.body)
		}
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, maiatest.WithRateLimit(2))
		text := token(t, s)
		get := func(want int) answer {
			t.Helper()
			a := call(t, s, text, "GET", "/v1/agents/"+id, "")
			if a.status != want {
				t.Errorf("got %d, want %d", a.status, want)
			}
			return a
		}
		get(200)
		<-time.After(20*time.Second + time.Millisecond)
		get(200)
		if a := get(429); a.header.Get("Retry-After") != "40" || a.body["type"] != "https://api.matillion.com/problems/too-many-requests" {
			t.Errorf("%+v", a)
		}
		token(t, s) // tokens are not limited
		<-time.After(40 * time.Second)
		get(200)
		get(429)
	})
	s := newServer(t, maiatest.WithRateLimit(0))
	if a := call(t, s, token(t, s), "GET", "/v1/agents", ""); a.status != 429 || a.header.Get("Retry-After") != "60" {
		t.Errorf("%+v", a)
	}
}

func TestClosedServerRefuses(t *testing.T) {
	s := newServer(t)
	text := token(t, s)
	s.Close()
	if a := call(t, s, text, "POST", "/v1/agents/"+id+"/credentials", `{"action":"SECRET_REFRESH"}`); a.status != 503 || s.Refreshes(id) != 0 {
		t.Errorf("%+v", a)
	}
	a := send(t, s.Transport(), "POST", maiatest.TokenURL("https://maia.test"), tokenForm(s).Encode(), nil)
	if a.status != 503 {
		t.Errorf("%+v", a)
	}
}
