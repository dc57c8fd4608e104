package maia

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
)

const (
	fuzzAgent     = "0f8fad5b-d9cb-469f-a165-70867728950e"
	fuzzAPISecret = "API-SECRET-do-not-print"
	fuzzToken     = "ACCESS-TOKEN-do-not-print"
	fuzzSecret    = "RUNNER-SECRET-do-not-print"
)

// fuzzTransport answers in memory.
type fuzzTransport func(*http.Request) *http.Response

func (f fuzzTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	return f(request), nil
}

func fuzzAnswer(status int, media string, body []byte) *http.Response {
	header := http.Header{}
	if media != "" {
		header.Set("Content-Type", media)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(string(body)))}
}

// fuzzClient has every call to the API answered with one answer.
func fuzzClient(t *testing.T, media string, body []byte) *Client {
	t.Helper()
	return fuzzClientOn(t, func(request *http.Request) *http.Response {
		if strings.HasSuffix(request.URL.Path, "/token") {
			return fuzzAnswer(200, "application/json", []byte(`{"access_token":"`+fuzzToken+`"}`))
		}
		return fuzzAnswer(200, media, body)
	})
}

func fuzzClientOn(t *testing.T, transport fuzzTransport) *Client {
	t.Helper()
	client, err := New(Config{Region: "eu1", ClientID: "api", ClientSecret: NewSecret(fuzzAPISecret),
		HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// said is all that an error about an unusable answer may say: nothing that comes from the answer.
var said = regexp.MustCompile(`^maia: [a-z ]+( ` + fuzzAgent + `)?: (invalid reply|outcome unknown: [a-z ;,]+)(: status 200)?: ` +
	`(the answer is [A-Za-z0-9 ]+|(agentId|agentStatus|connected|clientId|clientSecret|results(\.(agentId|agentStatus|connected))?) ` +
	`(is|has) [a-zA-Z0-9 ]+|client (ID|secret) (is|has|contains) [a-zA-Z0-9 -]+|page [0-9]+ repeats earlier ones|more than 400 pages)$`)

func mustBeInvalid(t *testing.T, err error, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want the kind %q", err, kind)
	}
	if !said.MatchString(err.Error()) {
		t.Errorf("the error says what it may not: %q", err)
	}
}

// top is what a JSON object has under a name, in whatever case, as a reader that encoding/json's structs have no part in.
func top(body []byte, name string) (values []any) {
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	if opening, _ := decoder.Token(); opening != json.Delim('{') {
		return nil
	}
	for decoder.More() {
		key, _ := decoder.Token()
		var value any
		if decoder.Decode(&value) != nil {
			return values
		}
		if text, _ := key.(string); strings.EqualFold(text, name) {
			values = append(values, value)
		}
	}
	return values
}

// FuzzCredentialsReply: credentials are accepted only as they are in the answer, once, and fit to be stored; anything else is an
// error that quotes nothing, and after a refresh the outcome is unknown.
func FuzzCredentialsReply(f *testing.F) {
	for _, sample := range []string{
		`{"clientId":"client","clientSecret":"` + fuzzSecret + `"}`, `{"clientId":"client","clientSecret":"` + fuzzSecret +
			`","x":[{"clientSecret":7}]}`,
		`{"clientId":"client","clientSecret":"` + fuzzSecret + `","clientSecret":"another-secret"}`,
		`{"clientId":"client","clientSecret":"` + fuzzSecret + `","CLIENTSECRET":"another-secret"}`,
		`{"clientId":"client","client\u0053ecret":"` + fuzzSecret + `","clientId":"another"}`,
		`{"clientId":"client","clientSecret":"●●●●●●●●●●"}`, `{"clientId":"client","clientSecret":"abcdefgh\u200bijkl"}`,
		`{"clientId":"client","clientSecret":"abcdefgh\ud800ijkl"}`,
		"{\"clientId\":\"client\",\"clientSecret\":\"abcdefgh\xffijkl\"}", "\ufeff{}", `{"clientId":"client","clientSecret":"********"}`,
		`{"clientId":"client","clientSecret":"short"}`,
		`{"clientId":"client","clientSecret":null}`, `{"clientId":"client","clientSecret":["` + fuzzSecret + `"]}`,
		`{"clientId":7,"clientSecret":"` + fuzzSecret + `"}`,
		`["` + fuzzSecret + `"]`, `"` + fuzzSecret, ``, `null`, strings.Repeat(`{"a":`, 10_001),
		strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000),
	} {
		f.Add("application/json", []byte(sample))
	}
	f.Add("text/html; charset=utf-8", []byte("<html>"+fuzzSecret))
	f.Add("text/html;;", []byte("<html>"+fuzzSecret))
	f.Fuzz(func(t *testing.T, media string, body []byte) {
		read, err := fuzzClient(t, media, body).Credentials(t.Context(), fuzzAgent)
		refreshed, refreshErr := fuzzClient(t, media, body).RefreshCredentials(t.Context(), fuzzAgent)
		if err != nil {
			mustBeInvalid(t, err, ErrInvalidReply)
			mustBeInvalid(t, refreshErr, ErrOutcomeUnknown)
			return
		}
		if refreshErr != nil || !refreshed.Equal(read) {
			t.Errorf("a read takes it and a refresh does not: %v", refreshErr)
		}
		ids, secrets := top(body, "clientId"), top(body, "clientSecret")
		if len(ids) != 1 || len(secrets) != 1 || ids[0] != read.ClientID || secrets[0] != read.ClientSecret.Reveal() {
			t.Errorf("read is what is not in the answer, or not once")
		}
		for _, value := range []string{read.ClientID, read.ClientSecret.Reveal()} {
			if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("a value with characters that cannot be seen or are not ASCII was accepted")
			}
			if !strings.Contains(string(body), value) && !strings.Contains(string(body), `\`) {
				t.Errorf("a value was accepted that is not in the answer as it stands")
			}
		}
		if len(read.ClientSecret.Reveal()) < minSecretLength || masked(read.ClientSecret.Reveal()) {
			t.Errorf("a short or masked secret was accepted")
		}
	})
}

// FuzzAgentReply: an agent is accepted if it is the one that was asked for, and reads the same when it is written again.
func FuzzAgentReply(f *testing.F) {
	for _, sample := range []string{
		`{"agentId":"` + fuzzAgent + `","agentStatus":"RUNNING","agentType":"data_productivity_cloud",` +
			`"cloudProvider":"aws","connected":true,"deployment":"fargate","description":"d","name":"n",` +
			`"versionDetails":{"agentVersion":"10.1","trackName":"current"}}`,
		`{"agentId":"` + strings.ToUpper(fuzzAgent) + `","agentStatus":"pausing","pausedUntil":"2026-03-01T12:00:00.123456789+02:00"}`,
		`{"agentId":"` + fuzzAgent + `","pausedUntil":"9999-12-31T23:59:59-01:00"}`,
		`{"agentId":"` + fuzzAgent + `","pausedUntil":"0000-01-01T00:00:00+01:00"}`,
		`{"agentId":"7c9e6679-7425-40de-944b-e07fc1f90ae7"}`, `{"agentId":"` + fuzzAgent + `","connected":"` + fuzzSecret + `"}`,
		`{"agentId":"` + fuzzAgent + `","versionDetails":[1]}`,
		`{"agentId":"` + fuzzAgent + `","agentStatus":"İ"}`, `{"agentId":"` + fuzzAgent + `","pausedUntil":1772366400123}`,
		`{"agentId":"` + fuzzAgent + `","pausedUntil":"2026-03-01T13:00:00+0100"}`,
		`{"agentId":"` + fuzzAgent + `","pausedUntil":-1e308,"name":{},"versionDetails":{"agentVersion":7}}`, `null`, `{}`, ``, `[]`,
	} {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		agent, err := fuzzClient(t, "application/json", body).Agent(t.Context(), fuzzAgent)
		if err != nil {
			mustBeInvalid(t, err, ErrInvalidReply)
			return
		}
		if !strings.EqualFold(agent.ID, fuzzAgent) {
			t.Errorf("another agent: %q", agent.ID)
		}
		if year := agent.PausedUntil.UTC().Year(); year < 1 || year > 9999 {
			t.Errorf("paused until the year %d", year)
		}
		again, err := json.Marshal(map[string]any{
			"agentId": agent.ID, "agentStatus": agent.Status, "connected": agent.Connected, "name": agent.Name, "description": agent.Description,
			"agentType": agent.Type, "cloudProvider": agent.CloudProvider, "deployment": agent.Deployment, "pausedUntil": agent.PausedUntil,
			"versionDetails": map[string]string{"agentVersion": agent.Version, "trackName": agent.Track},
		})
		if err != nil {
			t.Fatal(err)
		}
		same, err := fuzzClient(t, "application/json", again).Agent(t.Context(), fuzzAgent)
		if err != nil || !same.PausedUntil.Equal(agent.PausedUntil) {
			t.Errorf("%+v became %+v, %v", agent, same, err)
		}
		if same.PausedUntil = agent.PausedUntil; same != agent {
			t.Errorf("%+v became %+v", agent, same)
		}
	})
}

// FuzzAgentListing: a listing ends, and has each agent once.
func FuzzAgentListing(f *testing.F) {
	one := `{"agentId":"` + fuzzAgent + `"}`
	for _, sample := range []string{
		`{"results":[` + one + `],"page":0,"size":25,"total":1}`, `{"results":[` + one + `],"size":1}`, `{"results":[],"size":0,"total":-1}`,
		`{"results":null}`,
		`{"results":[` + one + `,` + strings.ToUpper(one[:12]) + `]}`, `{"results":[{"agentId":"` + fuzzSecret + `"}]}`, `{"results":[null]}`,
		`{"results":[` + one + `],"total":1e9,"size":-9223372036854775808}`,
	} {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		agents, err := fuzzClient(t, "application/json", body).Agents(t.Context())
		if err != nil {
			mustBeInvalid(t, err, ErrInvalidReply)
			return
		}
		seen := map[string]bool{}
		for _, agent := range agents {
			if id := strings.ToLower(agent.ID); seen[id] || CheckAgentID(id) != nil {
				t.Errorf("agent %q comes twice, or is none", id)
			} else {
				seen[id] = true
			}
		}
	})
}

// FuzzProblem: whatever a server says of a failure, the error holds no secret, is one line, and is not long.
func FuzzProblem(f *testing.F) {
	f.Add(400, "application/problem+json", []byte(`{"type":"https://api.matillion.com/problems/bad-request","title":"Bad Request",`+
		`"status":400,"detail":"no such command","instance":"/v1/agents/{agentId}/commands"}`), "", "")
	f.Add(403, "application/json; charset=utf-8",
		[]byte(`{"title":"`+fuzzToken+`","detail":"Bearer ACCESS-TOKEN-\u0000do-not-print and ACCESS\u200b-TOKEN-do-not-print"}`),
		"https://"+fuzzToken+".test/"+fuzzAPISecret, "120")
	f.Add(302, "application/json", []byte(`{"title":"\n\u2028\u202e","detail":"`+strings.Repeat("é", 300)+fuzzAPISecret+`"}`),
		"//"+fuzzAPISecret+"@"+fuzzAPISecret+":1/", "-1")
	f.Add(404, "text/html", []byte("<html>"+fuzzToken), "%zz", "Wed, 21 Oct 2099 07:28:00 GMT")
	f.Add(500, "application/json", []byte(`{"title":7}`), "", "9223372036854775807")
	f.Fuzz(func(t *testing.T, status int, media string, body []byte, location, after string) {
		if status < 100 || status > 999 || status >= 200 && status <= 299 {
			return
		}
		header := http.Header{"Content-Type": {media}, "Location": {location}, "Retry-After": {after}}
		token, api := NewSecret(fuzzToken), NewSecret(fuzzAPISecret)
		failed := statusError(status, header, token, api)
		failed.addProblem(header, body, token, api)
		failed = call{op: "pause agent", agentID: fuzzAgent}.fail(failed)
		text := failed.Error()
		if strings.Contains(text, fuzzToken) || strings.Contains(text, fuzzAPISecret) {
			t.Errorf("a secret is in %q", text)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || len([]rune(text)) > 4*maxProblemText {
			t.Errorf("%d characters, or not one line: %q", len(text), text)
		}
		if failed.Kind == "" || !errors.Is(failed, failed.Kind) {
			t.Errorf("status %d is of no kind", status)
		}
		if failed.RetryAfter < 0 {
			t.Errorf("wait for %v", failed.RetryAfter)
		}
	})
}

// FuzzRetryAfter: seconds or a date, or none: never in the past, and the seconds that are said.
func FuzzRetryAfter(f *testing.F) {
	for _, sample := range []string{"0", "120", "-1", "+5", " 7", "1.5", "1e3", "2147483647", "2147483648", "18446744073709551616", "0x10",
		"Wed, 21 Oct 2015 07:28:00 GMT", "Wednesday, 21-Oct-99 07:28:00 GMT",
		"Wed Oct 21 07:28:00 9999", "Fri, 31 Dec 9999 23:59:59 GMT", "soon", "", "١٢", "1_000", "120, 240"} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait := retryAfter(http.Header{"Retry-After": {value}})
		if wait < 0 {
			t.Fatalf("%q: %v", value, wait)
		}
		digits := regexp.MustCompile(`^[0-9]+$`).MatchString(value)
		if digits && len(value) <= 9 {
			seconds, _ := time.ParseDuration(value + "s")
			if wait != seconds {
				t.Errorf("%q: %v", value, wait)
			}
		}
		if _, err := http.ParseTime(value); err != nil && !digits && wait != 0 {
			t.Errorf("%q is neither seconds nor a date: %v", value, wait)
		}
	})
}

// FuzzTokenReply: whatever the token endpoint answers, an access token is sent on only in one piece, and an error holds nothing of it.
func FuzzTokenReply(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add(200, "application/json", []byte(`{"access_token":"`+fuzzToken+`","token_type":"Bearer","expires_in":1800}`))
	f.Add(200, "application/json", []byte(`{"access_token":"`+fuzzToken+`","expires_in":"-9223372036854775808"}`))
	f.Add(200, "application/json", []byte(`{"access_token":"`+fuzzToken+`","expires_in":1e400}`))
	f.Add(200, form, []byte("access_token="+fuzzToken+"&expires_in=9223372036854775807"))
	f.Add(200, form, []byte("access_token="+fuzzToken+"%0d%0aX-Evil:1&token_type=bearer"))
	f.Add(200, "text/plain", []byte("access_token=%zz"))
	f.Add(200, "application/json", []byte(`{"access_token":"x","token_type":"`+fuzzToken+`"}`))
	f.Add(200, "text/html", []byte("<html>"+fuzzAPISecret))
	f.Add(200, "application/json", []byte(`{"error":"`+fuzzAPISecret+`","error_description":"`+fuzzAPISecret+`"}`))
	f.Add(400, "application/json", []byte(`{"error":"invalid_client","error_description":"`+fuzzAPISecret+`"}`))
	f.Add(401, "application/json", []byte(`{"error":["`+fuzzAPISecret+`"]}`))
	f.Add(307, "", []byte(fuzzAPISecret))
	f.Fuzz(func(t *testing.T, status int, media string, body []byte) {
		if status < 200 || status > 999 || statusError(status, nil).retry {
			return // retried, after a time that a fuzzer does not have
		}
		sent, asked := "", 0
		client := fuzzClientOn(t, func(request *http.Request) *http.Response {
			if strings.HasSuffix(request.URL.Path, "/token") {
				asked++
				return fuzzAnswer(status, media, body)
			}
			sent = request.Header.Get("Authorization")
			return fuzzAnswer(200, "application/json", []byte(`{"agentId":"`+fuzzAgent+`"}`))
		})
		_, err := client.Agent(t.Context(), fuzzAgent)
		if asked != 1 {
			t.Errorf("%d tokens were asked for", asked)
		}
		if err == nil {
			token, bearer := strings.CutPrefix(sent, "Bearer ")
			if !bearer || token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("sent was %q", sent)
			}
			return
		}
		var failed *Error
		if !errors.As(err, &failed) || failed.Kind == "" || failed.Op != opFetchToken || sent != "" {
			t.Errorf("the error is %v, sent was %q", err, sent)
		}
		if text := err.Error(); strings.Contains(text, fuzzAPISecret) || strings.Contains(text, fuzzToken) || len(text) > 500 {
			t.Errorf("the error says %q", text)
		}
	})
}

// FuzzAgentID: what is taken for an agent's ID stays one part of a path.
func FuzzAgentID(f *testing.F) {
	for _, sample := range []string{fuzzAgent, strings.ToUpper(fuzzAgent), "", "-a", "..", "a/b", "a%2fb", "０", "a?b",
		strings.Repeat("a", 65)} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if err := CheckAgentID(id); err != nil {
			if len(id) > 8 && strings.Contains(err.Error(), id) && !strings.Contains(fuzzAgent, id) {
				t.Errorf("the error repeats the ID: %v", err)
			}
			return
		}
		u, err := url.Parse("https://eu1.api.matillion.com/dpc" + credentialsPath(id))
		if err != nil || u.Path != "/dpc/v1/agents/"+id+"/credentials" || u.RawQuery != "" || u.Fragment != "" || u.EscapedPath() != u.Path ||
			len(id) > maxAgentID {
			t.Errorf("%q gets into the path %q: %v", id, u, err)
		}
	})
}

// FuzzConfigURL: the API credential is sent to the host that the configuration names, over TLS or within the machine, or the URL is an
// error that does not repeat what may be a password.
func FuzzConfigURL(f *testing.F) {
	for _, sample := range []string{
		"https://eu1.api.matillion.com/dpc", "http://127.0.0.1:8080/dpc/", "http://[::1]/", "http://localhost.evil.test/",
		"https://user:" + fuzzSecret + "@host/", "https://host/?x=" + fuzzSecret,
		"https://host/#" + fuzzSecret, "HTTPS://Host", "https://host\\@evil.test/", "https:host", "https:///x", "http://2130706433/",
		"https://host:" + fuzzSecret + "/", "https://ho st/", "https://host/\x00", "https://[fe80::1%25eth0]/",
	} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var went []*url.URL
		client, err := New(Config{APIURL: raw, TokenURL: raw, ClientID: "api", ClientSecret: NewSecret(fuzzAPISecret),
			HTTPClient: &http.Client{Transport: fuzzTransport(func(r *http.Request) *http.Response {
				went = append(went, r.URL)
				return fuzzAnswer(200, "application/json", []byte(`{"access_token":"x","agentId":"`+fuzzAgent+`"}`))
			})}})
		named, parseErr := url.Parse(raw)
		if raw == "" {
			return // the default, or an error for want of a region
		}
		if err != nil {
			if strings.Contains(err.Error(), fuzzSecret) && (parseErr != nil || !strings.Contains(named.Hostname(), fuzzSecret)) {
				t.Errorf("the error says %v", err)
			}
			return
		}
		if _, err := client.Agent(t.Context(), fuzzAgent); err != nil || len(went) != 2 {
			return // it cannot be reached
		}
		for _, u := range went {
			if u.Hostname() != named.Hostname() || u.Port() != named.Port() || u.User != nil || u.RawQuery != "" || u.Scheme != "https" &&
				!Loopback(u.Hostname()) {
				t.Errorf("%q: a request went to %q", raw, u)
			}
		}
	})
}
