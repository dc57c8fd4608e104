package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// calls are the micro-steps that are calls of the engine, by the names that the engine's calls have here. What a platform does
// within a call of the engine is not among them.
var calls = byMicroStep(map[string][]PC{
	"observe":     {readPlatform, readPlatformAgain, readPlatformDrained, cleanUp, readBeforeResume},
	"agent":       {readAgentBeforeResume, readAgent, readAgentAgain, readAgentDraining, seePaused, seeResumed, cleanUpAgent},
	"credentials": {readMaia},
	"check":       {check},
	"PAUSE":       {pause},
	"RESUME":      {resume, resumeBlindly},
	"refresh":     {refresh},
	"note": {
		notePause, confirmPause, noteIntent, noteOwed, noteBeforeResume, takeOver, noteResumed, noteDone,
		noteCleanedUp, noteOrder, noteOrderAgain, notePartOfOrder, keepClaim,
	},
	"store":   {store},
	"restart": {restart},
})

func byMicroStep(calls map[string][]PC) map[PC]string {
	names := map[PC]string{}
	for name, pcs := range calls {
		for _, pc := range pcs {
			names[pc] = name
		}
	}
	return names
}

// injection is what becomes of the nth call of a run, both from 1; 0: nothing.
type injection struct {
	run, nth int
	what     string // "killed before", "killed after", "fails", "lost"
}

func (s injection) String() string {
	if s.nth == 0 {
		return "nothing goes wrong"
	}
	return fmt.Sprintf("run %d, call %d: %s", s.run, s.nth, s.what)
}

// played is what was seen of a story: by run, the steps that were decided and the calls that were made; and the end.
type played struct {
	runs  []string
	calls []int // of each run
	end   string
}

// brief leaves out what is repeated at once: polls take as long as they take.
func brief(all []string) string {
	for size := 1; size <= 6; size++ {
		for i := 0; i+2*size <= len(all); {
			if slices.Equal(all[i:i+size], all[i+size:i+2*size]) {
				all = slices.Delete(slices.Clone(all), i, i+size)
			} else {
				i++
			}
		}
	}
	return strings.Join(all, ", ")
}

const mostRuns = 12

// stands reports whether a story goes on no more: the last runs did the same.
func stands(runs []string) bool {
	last := len(runs) - 1
	return last > 1 && runs[last] == runs[last-1] && runs[last] == runs[last-2]
}

// inModel plays a story in the model: runs one after the other, a minute apart, into one of which a fault is injected.
func inModel(staged bool, s injection) (p played) {
	m := New(staged, 0, rotate.Next)
	w := m.starts()["a runner that was never touched"]
	if staged {
		w.Token, w.Phase = 1, phaseCreate
	}
	for len(p.runs) < mostRuns {
		mode := int8(modeRotate)
		switch {
		case staged && w.Phase == phaseFinish:
			mode = modeFinish
		case staged && w.Pending == 0:
			mode = modeStage
		case staged:
			w.Phase = phaseFinish
			continue
		}
		var steps, made []string
		m.taken = func(kind rotate.StepKind) {
			if kind != rotate.Refuse { // which the engine's report has as an error
				steps = append(steps, string(kind))
			}
		}
		w.start(mode)
		for w.Runs[0].PC != none {
			pc := w.Runs[0].PC
			if pc.waits() {
				m.time(&w, "", 0, func(_ string, to *World) { w = *to })
				continue
			}
			f := fine
			if name := calls[pc]; name != "" {
				made = append(made, name)
				if len(p.runs)+1 == s.run && len(made) == s.nth {
					switch s.what {
					case "killed before":
						m.kill(&w, 0)
						continue
					case "killed after":
						phase, pending, promoted := w.Phase, w.Pending, w.Promoted
						m.step(&w, 0, fine)
						if w.Runs[0].PC == none { // its caller never learned that it was done
							w.Phase, w.Pending, w.Promoted = phase, pending, promoted
						}
						m.kill(&w, 0)
						continue
					case "fails":
						f = fails
					case "lost":
						f = lost
					}
					if !slices.Contains(pc.faults(), f) {
						f = fails // what only reads fails alike
					}
				}
			}
			m.step(&w, 0, f)
		}
		p.calls = append(p.calls, len(made))
		p.runs = append(p.runs, fmt.Sprintf("%s: steps %s; calls %s", modes[mode], brief(steps), brief(made)))
		if w.Store == w.Maia && w.connected() && w.Until == notPaused && w.Note.Applied == w.Maia && w.Note.paused().By == 0 &&
			w.Phase == phaseNone || stands(p.runs) {
			break
		}
		w.tick(m)
	}
	p.end = fmt.Sprintf("store %t, connected %t, paused %t, refreshes %d, applied %t, intent %t, noted pause %t, rotated %t",
		w.Store == w.Maia, w.connected(), w.Until != notPaused, w.Refreshes, w.Note.Applied == w.Maia,
		w.Note.Intents[0].By != 0, w.Note.paused().By != 0,
		w.Note.LastRotation.New == w.Maia)
	if m.violation != "" {
		p.end += ", " + m.violation
	}
	return p
}

// engine plays a story with rotate.Rotator, a platform in memory and maiatest.
type engine struct {
	t         *testing.T
	staged    bool
	maia      *maiatest.Server
	injection injection
	injects   bool   // in this run
	failing   string // the call that a fault is injected into, while the client repeats it
	made      []string

	mu             sync.Mutex
	store, pending string
	promoted       bool
	note           rotate.Note
	state          rotate.InstanceState
	instance       *maiatest.Instance
	draining       *time.Timer
}

const (
	agentID  = "0b5a1a5e-5c1f-4b0a-9a55-0c6f3a1d2e3f"
	clientID = "client-of-the-runner"
)

func inEngine(t *testing.T, staged bool, s injection) (p played) {
	e := &engine{
		t: t, staged: staged, maia: maiatest.New(maiatest.WithAPICredential("api-client", "api-secret")), injection: s,
		store: "the-first-secret", state: rotate.Steady,
	}
	t.Cleanup(e.maia.Close)
	e.maia.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: clientID, Secret: e.store})
	e.login()
	policy := New(staged, 0, rotate.Next).policy
	done := !staged
	for len(p.runs) < mostRuns {
		mode := rotate.Rotate
		if staged {
			mode = rotate.Finish
			if e.pending == "" {
				mode = rotate.Stage
			}
		}
		e.made, e.failing, e.injects = nil, "", len(p.runs)+1 == s.run
		var report rotate.Report
		var err error
		ended := make(chan struct{})
		killed := true
		go func() {
			defer close(ended)
			ctx, cancel := context.WithTimeout(t.Context(), deadlineTicks*tick+5*time.Second)
			defer cancel()
			rotator := &rotate.Rotator{Maia: e.client(), Policy: policy}
			report, err = rotator.Run(ctx, &process{engine: e, mode: mode}, mode)
			killed = false
		}()
		<-ended
		var steps []string
		for _, step := range report.Steps {
			steps = append(steps, string(step.Kind))
		}
		if killed {
			steps = []string{"killed"}
		}
		p.runs = append(p.runs, fmt.Sprintf("%s: steps %s; calls %s", mode, brief(steps), brief(e.made)))
		if mode == rotate.Finish && !killed && err == nil {
			done = true
		}
		back := false
		e.locked(func() {
			live := e.maia.LiveSecret(agentID)
			back = done && e.store == live && e.instance.Connected() && e.agent().Status == maia.StatusRunning &&
				e.note.Applied == maia.NewSecret(live).Fingerprint() && e.note.Paused == nil
		})()
		if back || stands(p.runs) {
			break
		}
		time.Sleep(tick)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	live := e.maia.LiveSecret(agentID)
	fingerprint := maia.NewSecret(live).Fingerprint()
	p.end = fmt.Sprintf("store %t, connected %t, paused %t, refreshes %d, applied %t, intent %t, noted pause %t, rotated %t",
		e.store == live, e.instance.Connected(), e.agent().Status != maia.StatusRunning, e.maia.Refreshes(agentID),
		e.note.Applied == fingerprint, e.note.Intent != nil,
		e.note.Paused != nil, e.note.LastRotation != nil && e.note.LastRotation.New == fingerprint)
	return p
}

func (e *engine) agent() maia.Agent {
	agent, err := e.maia.Client(e.t).Agent(e.t.Context(), agentID)
	if err != nil {
		e.t.Error(err)
	}
	return agent
}

// login starts an instance. It has pipelines to run, unless the runner is paused.
func (e *engine) login() {
	e.instance, _ = e.maia.Connect(agentID, clientID, e.store)
	if e.instance != nil && e.agent().PausedUntil.IsZero() {
		e.maia.SetRunningTasks(agentID, 2)
	}
}

var errInjected = errors.New("an injected fault")

// call makes a call, or what becomes of it.
func (e *engine) call(name string, do func()) error {
	e.failing = ""
	e.made = append(e.made, name)
	do = e.locked(do)
	if !e.injects || e.injection.nth != len(e.made) {
		do()
		return nil
	}
	switch e.injection.what {
	case "killed before":
		runtime.Goexit()
	case "killed after":
		do()
		runtime.Goexit()
	case "lost":
		do()
	}
	return errInjected
}

// locked is a change that does not meet those that time brings.
func (e *engine) locked(do func()) func() {
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		do()
	}
}

// client is Maia's, over a wire on which faults can be injected.
func (e *engine) client() *maia.Client {
	client, err := maia.New(maia.Config{
		APIURL: maiatest.APIURL("https://maia.test"), TokenURL: maiatest.TokenURL("https://maia.test"),
		ClientID: "api-client", ClientSecret: maia.NewSecret("api-secret"),
		HTTPClient: &http.Client{Transport: wire{e}},
	})
	if err != nil {
		e.t.Error(err)
	}
	return client
}

type wire struct{ *engine }

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(request *http.Request) (response *http.Response, err error) {
	var body []byte
	if request.Body != nil {
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	name := ""
	switch path := request.URL.Path; {
	case strings.HasSuffix(path, "/credentials") && request.Method == http.MethodPost:
		name = "refresh"
	case strings.HasSuffix(path, "/credentials"):
		name = "credentials"
	case strings.Contains(string(body), "PAUSE"):
		name = "PAUSE"
	case strings.Contains(string(body), "RESUME"):
		name = "RESUME"
	case strings.Contains(path, "/agents/"):
		name = "agent"
	default:
		return w.maia.Transport().RoundTrip(request) // a token
	}
	if w.failing == name {
		return nil, io.EOF // the client tries again what fails
	}
	injected := w.call(name, func() {
		response, err = w.maia.Transport().RoundTrip(request)
		switch name {
		case "PAUSE":
			w.draining = time.AfterFunc(time.Second, func() { w.maia.FinishTasks(agentID) })
		case "RESUME":
			if w.draining != nil {
				w.draining.Stop()
			}
			w.maia.SetRunningTasks(agentID, 2)
		}
	})
	if injected != nil {
		w.failing = name
		return nil, io.EOF
	}
	return response, err
}

// process is the Runner of one run.
type process struct {
	*engine
	mode    rotate.Mode
	ordered bool
	stored  bool
}

func (p *process) AgentID() string { return agentID }

func (p *process) StoreTime() time.Duration { return rotate.DefaultStoreTime }

func credentialsOf(secret string) maia.Credentials {
	return maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(secret)}
}

func (p *process) Observe(context.Context) (seen rotate.Platform, err error) {
	err = p.call("observe", func() {
		seen = rotate.Platform{
			Stored: credentialsOf(p.store), Instances: rotate.Instances{State: p.state, Read: rotate.ReadUnknown}, Note: p.note,
		}
		seen.Free = !p.staged
		order := p.note.Ordered
		switch {
		case p.ordered, !p.stored && order != nil && order.For == seen.Stored.ClientSecret.Fingerprint():
			seen.Instances.Read = rotate.ReadCurrent
		case p.stored:
			seen.Instances.Read = rotate.ReadOlder
		case p.staged:
			seen.Instances.Read = rotate.ReadCurrent
			if p.instance == nil || !p.instance.Connected() {
				seen.Instances.Read = rotate.ReadOlder
			}
		}
		if staging := p.pending != "" && !p.promoted; staging && p.mode == rotate.Stage {
			seen.Stored, seen.Staged, seen.Instances.Read = credentialsOf(p.pending), true, rotate.ReadOlder
		} else if staging {
			seen.Pending, seen.Instances.Read = credentialsOf(p.pending), rotate.ReadCurrent
		}
	})
	return seen, err
}

func (p *process) Check(context.Context) error { return p.call("check", func() {}) }

func (p *process) SaveNote(_ context.Context, note rotate.Note) error {
	return p.call("note", func() { p.note = note })
}

func (p *process) Store(_ context.Context, credentials maia.Credentials) error {
	p.stored = true
	return p.call("store", func() {
		p.ordered = false
		switch secret := credentials.ClientSecret.Reveal(); {
		case p.mode == rotate.Stage:
			p.pending = secret
		default:
			p.promoted = p.promoted || p.pending == secret
			p.store = secret
		}
	})
}

func (p *process) Restart(context.Context) ([]string, error) {
	err := p.call("restart", func() {
		p.state = rotate.Rolling
		time.AfterFunc(time.Second, p.locked(func() {
			if p.instance != nil {
				p.instance.Close()
			}
			p.login()
			p.state = rotate.Steady
		}))
	})
	p.ordered = p.ordered || err == nil
	return nil, err
}

// The model's runs make the same calls and decide on the same steps as the engine's: in a rotation in which nothing goes
// wrong, and where any one call fails, loses its answer, or is the last that a process makes.
func TestTheModelDoesWhatTheEngineDoes(t *testing.T) {
	played := 0
	for _, staged := range []bool{false, true} {
		stories := []injection{{}}
		for run, most := range inModel(staged, injection{}).calls {
			for nth := 1; nth <= most; nth++ {
				for _, what := range []string{"killed before", "killed after", "fails", "lost"} {
					stories = append(stories, injection{run + 1, nth, what})
				}
			}
		}
		for _, story := range stories {
			t.Run(fmt.Sprintf("staged %t, %s", staged, story), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					model, engine := inModel(staged, story), inEngine(t, staged, story)
					if strings.HasPrefix(story.what, "killed") {
						// Of a process that is killed the report dies too: its calls show what it did.
						killed := &model.runs[story.run-1]
						_, made, _ := strings.Cut(*killed, "; ")
						mode, _, _ := strings.Cut(*killed, ": ")
						*killed = mode + ": steps killed; " + made
					}
					if got, want := strings.Join(model.runs, "\n"), strings.Join(engine.runs, "\n"); got != want {
						t.Errorf("the model\n%s\nthe engine\n%s", got, want)
					}
					if model.end != engine.end {
						t.Errorf("in the end, in the model %s; in the engine %s", model.end, engine.end)
					}
				})
			})
		}
		played += len(stories)
	}
	t.Logf("figure: model, stories that model and engine play alike: %d", played)
}
