package rotatetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Times of a scenario. None is a multiple of the engine's polling interval: what happens at one instant happens in any
// order.
const (
	taskDuration = 4500 * time.Millisecond // of the pipelines that run when a rotation begins
	runTimeout   = 15 * time.Minute        // of a process, as of a Lambda
	soon         = 1100 * time.Millisecond // until the next process, if it follows at once
	later        = 30*time.Minute + 300*time.Millisecond
	rollout      = 3*time.Minute + 700*time.Millisecond // in which a platform's instances are replaced
	long         = 2*time.Hour + 500*time.Millisecond   // after which a rotation is due again
)

// policy is the default one, but for what says when the next rotation is due.
func policy() rotate.Policy {
	p := rotate.DefaultPolicy()
	p.Every = time.Hour
	return p
}

// world is one scenario: a platform, Maia, and what happened so far. It lives in a bubble.
type world struct {
	t        *testing.T
	maia     *maiatest.Server
	platform Platform
	setup    Setup

	quirks    setting
	wanted    int // instances, in the beginning
	inspector *maia.Client
	foreign   string // at the beginning
	lag       time.Duration

	mu        sync.Mutex
	instances []*instance
	secrets   map[string]bool // other than Maia's own
	texts     bytes.Buffer    // all that left the processes: logs, errors, reports, details
	failures  []string
	refresh   time.Time // when the last refresh was sent
	resumed   string    // the secret with which the runner was at work when it was resumed last
	cutOff    func()    // called once, a moment after a refresh
	operator  time.Time // until when an operator has paused the runner

	runs    []*run
	due     int  // rotations that were due so far
	console int  // refreshes in the console
	rotated int  // runs that reported a rotation
	overlap bool // several processes are at work: what one has not changed another one may have
}

// instance is one running copy of the runner.
type instance struct {
	secret  string
	started time.Time
	login   *maiatest.Instance // nil: Maia refused it
	stopped bool
}

const (
	agentID  = "0b5a1a5e-5c1f-4b0a-9a55-0c6f3a1d2e3f"
	clientID = "client-of-the-runner"

	// Secrets of which no part is in a text by chance.
	apiSecret   = "Zq8wN3tVb6Rk1YxLm5Hs0Dj2"
	firstSecret = "Hh7vQ2xK9bT4cW6gP0nS3fUy"
	otherSecret = "Bd5eJ8mA1rGz7uXoC3iFp9Lk"
)

// newWorld makes the platform, an hour before anything happens to it.
func newWorld(t *testing.T, newPlatform func(*testing.T, Setup) Platform, s scenario) *world {
	options := append([]maiatest.Option{maiatest.WithAPICredential("api-client", apiSecret)}, s.maia...)
	w := &world{t: t, maia: maiatest.New(options...), secrets: map[string]bool{apiSecret: true}, lag: s.connectedLag, due: 1, quirks: s.quirks}
	t.Cleanup(w.maia.Close)
	w.inspector = w.client(nil)
	w.maia.OnCall(func(call maiatest.Call) {
		switch call.Name {
		case maiatest.RefreshCredentials:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refresh = call.Time
			if happens := w.cutOff; happens != nil {
				w.cutOff = nil
				time.AfterFunc(300*time.Millisecond, happens)
			}
		case maiatest.Resume:
			if w.working() {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.resumed = w.maia.LiveSecret(agentID)
			}
		}
	})
	w.maia.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: clientID, Secret: firstSecret})
	w.setup = Setup{AgentID: agentID, ClientID: clientID, Secret: firstSecret, Quirks: namesOf(s.quirks.platform), world: w}
	w.platform = newPlatform(t, w.setup)
	time.Sleep(time.Hour + 500*time.Millisecond)
	if len(w.running()) == 0 {
		w.failf("the platform has no instance: its first one calls Setup.Start before newPlatform returns")
	}
	w.foreign, w.wanted = w.platform.Foreign(), len(w.running())
	return w
}

func (w *world) startInstance(clientID, secret string) (stop func(), err error) {
	started := &instance{secret: secret, started: time.Now()}
	started.login, err = w.maia.Connect(agentID, clientID, secret)
	w.mu.Lock()
	w.instances = append(w.instances, started)
	w.mu.Unlock()
	return func() {
		w.mu.Lock()
		started.stopped = true
		w.mu.Unlock()
		if started.login != nil {
			started.login.Close()
		}
	}, err
}

// running are the instances that have not been stopped, whether Maia knows them or not.
func (w *world) running() (running []*instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, instance := range w.instances {
		if !instance.stopped {
			running = append(running, instance)
		}
	}
	return running
}

// started is how many instances have started so far.
func (w *world) started() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.instances)
}

// working says that all instances are logged in with what Maia holds.
func (w *world) working() bool {
	return !slices.ContainsFunc(w.running(), func(i *instance) bool { return !i.connected() })
}

func (i *instance) connected() bool { return i.login != nil && i.login.Connected() }

// keepSecret remembers a secret that must not show anywhere.
func (w *world) keepSecret(secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[secret] = true
}

// published keeps text that left a process.
func (w *world) published(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts.WriteString(text + "\n")
}

// Write implements io.Writer, for the processes' log.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.texts.Write(line)
}

// failf reports what is wrong with the platform, or with the scenario itself.
func (w *world) failf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

// broken reports a promise that was not kept.
func (w *world) broken(promise int, format string, args ...any) {
	w.failf("promise %d (%s): %s", promise, promises[promise], fmt.Sprintf(format, args...))
}

var promises = []string{
	1: "never lost", 2: "at most one refresh", 3: "nothing before the way is clear", 4: "short downtime", 5: "success means back",
	6: "heals gently", 7: "nothing leaks", 8: "only ours", 9: "no failure is swallowed",
}

// run is one process of the function: a fresh Runner and one rotate.Rotator.Run.
type run struct {
	process *Process
	mode    rotate.Mode
	before  snapshot
	done    chan struct{} // closed when the process has ended, or, after it was cut off, what is left of it

	started, ended  time.Time
	report          rotate.Report
	err             error
	note            rotate.Note // as last seen or saved
	noted           time.Time   // when an intent was last noted
	settled         time.Time   // when, after a restart, the instances were first seen steady
	lastObservation int         // how many calls there had been when Observe was called last
	wrote           []string    // methods that change something
	restarts        int         // ordered of all that runs with the secret
	pausedAfter     func()      // called when a pause of ours has been confirmed in the note
}

// start starts a process with a fault, which may be nil.
func (w *world) start(mode rotate.Mode, f *fault, change ...func(*run)) *run {
	r := &run{process: newProcess(f), mode: mode, before: w.read(), done: make(chan struct{}), started: time.Now()}
	for _, change := range change {
		change(r)
	}
	w.runs = append(w.runs, r)
	go func() {
		defer close(r.done)
		ctx, cancel := context.WithTimeout(w.t.Context(), runTimeout)
		defer cancel()
		log := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
		leave := r.process.enter(DuringStart)
		runner, err := w.platform.Runner(ctx, r.process)
		leave()
		if err != nil {
			r.err = &rotate.Error{Kind: rotate.KindOf(err), State: rotate.NotObserved, What: err.Error(), Err: err}
		} else {
			rotator := &rotate.Rotator{Maia: w.client(r.process), Policy: policy(), Log: log}
			r.report, r.err = rotator.Run(ctx, &watched{Runner: runner, w: w, r: r}, mode)
		}
		r.ended = time.Now()
		document, _ := json.Marshal(r.report)
		w.published(string(document))
		if r.err != nil {
			w.published(r.err.Error())
		}
	}()
	return r
}

// wait waits until the process has ended or was cut off, and checks what must be true of one that ended.
func (w *world) wait(r *run) *run {
	select {
	case <-r.done:
	case <-r.process.cut:
		return r
	}
	w.check(r)
	return r
}

// run is one process without a fault, a moment after whatever came before: a platform's reads may lag by less than that.
func (w *world) run(mode rotate.Mode, change ...func(*run)) *run {
	time.Sleep(soon)
	return w.wait(w.start(mode, nil, change...))
}

// asksToResume reports whether a run asks a person to resume the runner.
func asksToResume(err error) bool {
	return err != nil && strings.Contains(err.Error(), `{"command":"RESUME"}`)
}

// resumeAsReported does what a run asks a person to do that has left the runner paused. It may only where it cannot know whose the
// pause is: our note of it was never confirmed.
func (w *world) resumeAsReported(r *run) {
	if own := r.note.Paused; own == nil || own.Confirmed && !w.quirks.unclearPauses() {
		w.broken(5, "the run left the runner paused, though its note says whose the pause is: %v", r.err)
	}
	w.maia.ConsoleResume(agentID)
}

// String is for the reader of a failure.
func (r *run) String() string {
	text := fmt.Sprintf("%s at %s", r.mode, r.started.Format(time.TimeOnly))
	if r.process.isDead() {
		calls := r.process.made()
		return fmt.Sprintf("%s: cut off at its %dth call", text, len(calls))
	}
	text += fmt.Sprintf(", %s: %s, %s; steps", r.ended.Sub(r.started).Round(time.Millisecond), r.report.Outcome, r.report.State)
	for _, step := range r.report.Steps {
		text += " " + string(step.Kind) + ","
	}
	if r.err != nil {
		text += " error: " + r.err.Error()
	}
	return text
}

// watched is a Runner under observation.
type watched struct {
	rotate.Runner
	w *world
	r *run
}

// Observe implements rotate.Runner.
func (o *watched) Observe(ctx context.Context) (rotate.Platform, error) {
	defer o.r.process.enter(DuringObserve)()
	o.r.lastObservation = len(o.r.process.made())
	platform, err := o.Runner.Observe(ctx)
	if err == nil {
		o.w.published(platform.Instances.Detail)
		o.r.note = platform.Note
		if platform.Instances.State == rotate.Steady && o.r.settled.IsZero() && o.r.ordered() {
			o.r.settled = time.Now()
		}
	}
	return platform, err
}

// Check implements rotate.Runner.
func (o *watched) Check(ctx context.Context) error {
	defer o.r.process.enter(DuringCheck)()
	return o.Runner.Check(ctx)
}

// SaveNote implements rotate.Runner.
func (o *watched) SaveNote(ctx context.Context, note rotate.Note) error {
	defer o.r.process.enter(DuringSaveNote)()
	if note.Intent != nil {
		o.r.noted = note.Intent.At
	}
	o.r.wrote = append(o.r.wrote, DuringSaveNote)
	err := o.Runner.SaveNote(ctx, note)
	if err == nil {
		o.r.note = note
		if confirm := o.r.pausedAfter; confirm != nil && note.Paused != nil && note.Paused.Confirmed {
			o.r.pausedAfter = nil
			confirm()
		}
	}
	return err
}

// Store implements rotate.Runner.
func (o *watched) Store(ctx context.Context, credentials maia.Credentials) error {
	defer o.r.process.enter(DuringStore)()
	o.r.wrote = append(o.r.wrote, DuringStore)
	return o.Runner.Store(ctx, credentials)
}

// Restart implements rotate.Runner.
func (o *watched) Restart(ctx context.Context) ([]string, error) {
	defer o.r.process.enter(DuringRestart)()
	o.r.wrote, o.r.settled = append(o.r.wrote, DuringRestart), time.Time{}
	if o.w.working() && o.w.resumedWith(o.w.maia.LiveSecret(agentID)) && !o.w.overlap {
		o.w.broken(6, "a runner is restarted that has been resumed, as its instances are logged in with what Maia holds")
	}
	ids, err := o.Runner.Restart(ctx)
	if err == nil {
		o.r.restarts++
	}
	return ids, err
}

// Hold implements rotate.Locker, also for a Runner that does not.
func (o *watched) Hold(ctx context.Context, d time.Duration) error {
	defer o.r.process.enter(DuringHold)()
	if locker, ok := o.Runner.(rotate.Locker); ok {
		return locker.Hold(ctx, d)
	}
	return nil
}

// Release implements rotate.Locker.
func (o *watched) Release(ctx context.Context) {
	defer o.r.process.enter(DuringRelease)()
	if locker, ok := o.Runner.(rotate.Locker); ok {
		locker.Release(ctx)
	}
}

func (w *world) resumedWith(secret string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resumed == secret
}

// ordered says that the run has ordered a restart.
func (r *run) ordered() bool {
	return slices.Contains(r.wrote, DuringRestart)
}
