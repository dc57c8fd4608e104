package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The runner of every sandbox.
const (
	AgentID  = "7d3a1c52-94be-4f0a-8a6d-2b5c90e1f374"
	ClientID = "matillion-runner-client"
)

// PipelineTime is how long the pipeline that runs when a sandbox is ready goes on after the runner is paused.
const PipelineTime = 1800 * time.Millisecond

// Maia is Maia with one runner. What is done to the runner goes into the journal.
type Maia struct {
	*maiatest.Server
	URL       string
	APIClient string // the credential of its API
	APISecret string
	Client    *maia.Client

	journal *Journal
	secrets *Secrets
	drain   func() // begins the end of the pipeline

	mu        sync.Mutex
	status    string    // as Maia said last
	refreshes int       // carried out, as far as calls show
	refreshed func()    // called when one is; may be nil
	operators time.Time // until when an operator has paused the runner
	downSince time.Time // zero while the runner is not down
	downtimes []time.Duration
}

// newMaia makes Maia. The pipeline goes on for a time after the runner is first paused; 0 is for ever.
func newMaia(journal *Journal, secrets *Secrets, pipeline time.Duration) *Maia {
	m := &Maia{APIClient: "maia-api-client", APISecret: rand.Text() + rand.Text(), journal: journal, secrets: secrets}
	secrets.Learn(m.APISecret, "the secret of the Maia API credential")
	m.Server = maiatest.New(maiatest.WithAPICredential(m.APIClient, m.APISecret))
	m.AddAgent(maiatest.AgentSpec{ID: AgentID, Name: "sandbox runner", ClientID: ClientID})
	m.drain = sync.OnceFunc(func() {
		if pipeline > 0 {
			time.AfterFunc(pipeline, func() { m.FinishTasks(AgentID) })
		}
	})
	return m
}

// servedAt gives Maia its address.
func (m *Maia) servedAt(url string) (err error) {
	m.URL = url
	m.Client, err = maia.New(maia.Config{
		APIURL: maiatest.APIURL(m.URL), TokenURL: maiatest.TokenURL(m.URL),
		ClientID: m.APIClient, ClientSecret: maia.NewSecret(m.APISecret),
	})
	return err
}

// Endpoints are the variables by which a function finds Maia.
func (m *Maia) Endpoints() []string {
	return []string{"MAIA_API_URL=" + maiatest.APIURL(m.URL), "MAIA_TOKEN_URL=" + maiatest.TokenURL(m.URL)}
}

// Watch has the journal show what is done to the runner from now on. refreshed is called after each refresh that is carried
// out; it may be nil.
func (m *Maia) Watch(refreshed func()) {
	m.mu.Lock()
	m.refreshed = refreshed
	m.mu.Unlock()
	m.OnCall(m.onCall)
}

func (m *Maia) onCall(call maiatest.Call) {
	done := call.Status/100 == 2
	if call.Name == maiatest.Pause {
		m.drain()
	}
	switch {
	case call.Name == maiatest.RefreshCredentials:
		m.OnRefresh(call.Status)
	case call.Name == maiatest.Pause && done:
		m.journal.Add(FromMaia, "paused", "paused: pipelines that run may finish, new ones wait")
	case call.Name == maiatest.Resume && done:
		m.journal.Add(FromMaia, "resumed", "resumed: pipelines run again")
	case call.Name == maiatest.Pause, call.Name == maiatest.Resume:
		m.journal.Fail(FromMaia, "command-failed", "%s is not answered with success (%d)", call.Name, call.Status)
	}
}

// OnRefresh shows what became of a refresh by reading whether Maia has carried one more out. Status 0 is no answer.
func (m *Maia) OnRefresh(status int) {
	carriedOut := m.Refreshes(AgentID)
	m.mu.Lock()
	done, refreshed := carriedOut > m.refreshes, m.refreshed
	m.refreshes = carriedOut
	m.mu.Unlock()
	switch {
	case done && status != 0:
		m.journal.Add(FromMaia, "refreshed", "refreshed: the old secret is revoked, the runner is cut off")
	case done:
		m.journal.Fail(FromMaia, "refreshed", "refreshed, and nobody gets the answer: the runner is cut off")
	case status == 0:
		m.journal.Fail(FromMaia, "refresh-dropped", "a refresh is asked for, and the connection drops")
	default:
		m.journal.Fail(FromMaia, "refresh-refused", "a refresh is refused (%d)", status)
	}
	if done {
		m.Cut()
		if refreshed != nil {
			refreshed()
		}
	}
}

// tap reads what passes between the function and Maia: tokens, which are secrets too, and the status that Maia
// reports, which shows a drained runner.
func (m *Maia) tap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && token != "" {
			m.secrets.Learn(token, "a bearer token of the Maia API")
		}
		reply := &tapped{ResponseWriter: rw}
		next.ServeHTTP(reply, r)
		var agent struct {
			Status string `json:"agentStatus"`
		}
		if json.Unmarshal(reply.body.Bytes(), &agent) == nil && agent.Status != "" {
			m.onStatus(agent.Status)
		}
	})
}

type tapped struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (t *tapped) Write(p []byte) (int, error) {
	t.body.Write(p)
	return t.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (t *tapped) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (m *Maia) onStatus(status string) {
	m.mu.Lock()
	before := m.status
	m.status = status
	m.mu.Unlock()
	if status == string(maia.StatusPaused) && before == string(maia.StatusPausing) {
		m.journal.Add(FromMaia, "drained", "drained: no pipeline runs any more")
	}
}

// Cut says that a refresh has just cut the runner off.
func (m *Maia) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.downSince.IsZero() {
		m.downSince = time.Now()
	}
}

// LogIn has an instance of the runner log in with what it was started with, and shows it by its name.
func (m *Maia) LogIn(name, agentID, clientID, secret string) (*maiatest.Instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	instance, err := m.Connect(agentID, clientID, secret)
	switch {
	case err != nil:
		m.journal.Fail(FromMaia, "login-refused", "%s is refused: the secret that it read is not valid", name)
	case m.downSince.IsZero():
		m.journal.Add(FromMaia, "connected", "%s connected", name)
	default:
		downtime := time.Since(m.downSince)
		m.downtimes, m.downSince = append(m.downtimes, downtime), time.Time{}
		m.journal.Add(FromMaia, "connected", "%s connected: the runner is back, it was down for %.1f s", name, downtime.Seconds())
	}
	return instance, err
}

// Downtimes is, for each time that a refresh cut the runner off, how long it took until it was connected again.
func (m *Maia) Downtimes() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Duration(nil), m.downtimes...)
}

// OperatorPauses has an operator pause the runner.
func (m *Maia) OperatorPauses(ctx context.Context, d time.Duration) error {
	m.ConsolePause(AgentID, d)
	m.drain()
	agent, err := m.Client.Agent(ctx, AgentID)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.operators = agent.PausedUntil
	return err
}

// ProveRevoked adds that the secret was replaced.
func (m *Maia) ProveRevoked(add func(text string, ok bool, instead string)) {
	revoked := m.Revoked(AgentID)
	refused := len(revoked) > 0
	for _, old := range revoked {
		refused = refused && !m.Accepts(AgentID, ClientID, old)
	}
	add("Maia refuses the old secret", refused, "it is still valid")
}

// Prove adds what must be true of the runner at the end. due is how many refreshes may have been carried out, connected
// whether all instances have their connection.
func (m *Maia) Prove(ctx context.Context, add func(text string, ok bool, instead string), due int, connected bool) {
	status, agrees := m.Actual(AgentID)
	add("the runner is connected", agrees && connected, "it is not")
	m.mu.Lock()
	operators := m.operators
	m.mu.Unlock()
	if operators.IsZero() {
		add("the runner is resumed", status == maia.StatusRunning, "its status is "+string(status))
	} else {
		agent, err := m.Client.Agent(ctx, AgentID)
		add("the operator's pause stands", err == nil && agent.Status == maia.StatusPaused && agent.PausedUntil.Equal(operators),
			"its status is "+string(agent.Status))
	}
	lost := m.Lost(AgentID)
	add("no pipeline was lost", lost == 0, fmt.Sprintf("%d were", lost))
	refreshes, revoked := m.Refreshes(AgentID), m.Revoked(AgentID)
	text := fmt.Sprintf("%s for %s due", Count(refreshes, "refresh", "refreshes"), Count(due, "rotation that was", "rotations that were"))
	if people := len(revoked) - refreshes; people > 0 {
		text += fmt.Sprintf(", and %d by a person", people)
	}
	add(text, refreshes <= due, "too many")
}

// Learn has the runner's secrets, of which there may be new ones, among those that must leak nowhere.
func (m *Maia) Learn() {
	for _, secret := range append(m.Revoked(AgentID), m.LiveSecret(AgentID)) {
		m.secrets.Learn(secret, "a secret of the runner")
	}
}

// Works reports whether the runner is at work: not paused, or paused by an operator for as long as he said.
func (m *Maia) Works(ctx context.Context) bool {
	m.mu.Lock()
	operators := m.operators
	m.mu.Unlock()
	if operators.IsZero() {
		status, _ := m.Actual(AgentID)
		return status == maia.StatusRunning
	}
	agent, err := m.Client.Agent(ctx, AgentID)
	return err == nil && agent.Status == maia.StatusPaused && agent.PausedUntil.Equal(operators)
}
