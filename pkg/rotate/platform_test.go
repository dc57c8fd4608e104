package rotate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/rotatetest"
)

const (
	agentID  = "0b5a1a5e-5c1f-4b0a-9a55-0c6f3a1d2e3f"
	clientID = "client-of-the-runner"
	first    = "the-first-secret-of-the-runner"
)

// platform is a runner's cloud in memory, with Maia. It outlives the runs on it, as the real ones do.
type platform struct {
	t      *testing.T
	maia   *maiatest.Server
	id     string       // of the agent
	client string       // its client ID
	log    bytes.Buffer // what all runs logged

	mu         sync.Mutex
	store      string
	note       rotate.Note
	wishes     rotate.Wishes
	state      rotate.InstanceState
	readAt     time.Time // when the newest instances read the store
	storedAt   time.Time
	instance   *maiatest.Instance
	start      func(clientID, secret string) (stop func(), err error) // instead of logging in to maia; nil: that
	stop       func()
	restarts   int
	starts     time.Duration // how long instances take to start
	brokenFor  int           // restarts that fail
	calls      []string
	hooks      map[string][]func() error // by call, one for each time; nil entries do nothing
	afterwards map[string][]func() error
	checkErr   error
	killable   bool
	clockless  bool // the platform's clocks show nothing: only an order in the note shows what instances have read
	failing    bool // instances fail until they come up
	unrecorded string
	free       bool
}

// newPlatform is a connected runner with running pipelines that finish within the drain time-out. No time is a multiple of
// the polling interval: what happens at one instant happens in any order.
func newPlatform(t *testing.T, options ...maiatest.Option) *platform {
	return newBusyPlatform(t, 30500*time.Millisecond, options...)
}

// newBusyPlatform is one whose pipelines take so long; 0 is for ever.
func newBusyPlatform(t *testing.T, tasks time.Duration, options ...maiatest.Option) *platform {
	h := &platform{
		t: t, maia: maiatest.New(options...), id: agentID, client: clientID, store: first, state: rotate.Steady, starts: 20500 * time.Millisecond,
		hooks: map[string][]func() error{}, afterwards: map[string][]func() error{},
	}
	h.maia.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: clientID, Secret: first, RunningTasks: 2, TaskDuration: tasks})
	h.storedAt = time.Now().Add(-time.Hour)
	h.readAt = time.Now()
	h.login()
	t.Cleanup(h.maia.Close)
	return h
}

func (h *platform) login() {
	if h.start != nil {
		h.stop, _ = h.start(h.client, h.store)
		return
	}
	h.instance, _ = h.maia.Connect(h.id, h.client, h.store)
}

// run does one run.
func (h *platform) run(mode rotate.Mode, change ...func(*rotate.Rotator)) (rotate.Report, error) {
	return h.runWith(h.t.Context(), mode, change...)
}

func (h *platform) runWith(ctx context.Context, mode rotate.Mode, change ...func(*rotate.Rotator)) (rotate.Report, error) {
	rotator := &rotate.Rotator{
		Maia: h.maia.Client(h.t), Policy: rotate.DefaultPolicy(),
		Log: slog.New(slog.NewJSONHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, change := range change {
		change(rotator)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	return rotator.Run(ctx, h, mode)
}

// runUntilKilled does one run in which something calls kill, and returns when the run is no more.
func (h *platform) runUntilKilled(mode rotate.Mode) {
	done := make(chan struct{})
	h.killable = true
	go func() {
		defer close(done)
		_, _ = h.run(mode)
	}()
	<-done
	h.killable = false
}

// kill ends the goroutine of a run on the spot, as a SIGKILL ends a process. Where none runs it does nothing.
func (h *platform) kill() error {
	if h.killable {
		h.killable = false
		runtime.Goexit()
	}
	return nil
}

// before and after have something done at the nth call (from 1) of a method; an error is the method's.
func (h *platform) before(call string, nth int, do func() error) { insert(h.hooks, call, nth, do) }
func (h *platform) after(call string, nth int, do func() error)  { insert(h.afterwards, call, nth, do) }

func insert(hooks map[string][]func() error, call string, nth int, do func() error) {
	for len(hooks[call]) < nth {
		hooks[call] = append(hooks[call], nil)
	}
	hooks[call][nth-1] = do
}

func (h *platform) hook(hooks map[string][]func() error, call string) error {
	if len(hooks[call]) == 0 {
		return nil
	}
	do := hooks[call][0]
	hooks[call] = hooks[call][1:]
	if do == nil {
		return nil
	}
	return do()
}

// do counts a call and carries it out between its hooks.
func (h *platform) do(ctx context.Context, call string, act func()) error {
	h.mu.Lock()
	h.calls = append(h.calls, call)
	h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.hook(h.hooks, call); err != nil {
		return err
	}
	h.mu.Lock()
	act()
	h.mu.Unlock()
	return h.hook(h.afterwards, call)
}

func (h *platform) AgentID() string { return h.id }

func (h *platform) StoreTime() time.Duration { return rotate.DefaultStoreTime }

func (h *platform) Observe(ctx context.Context) (seen rotate.Platform, err error) {
	err = h.do(ctx, "observe", func() {
		read := rotate.ReadOlder
		ordered := h.note.Ordered
		switch {
		case h.clockless && (ordered == nil || ordered.For != h.stored().ClientSecret.Fingerprint() ||
			!slices.Contains(ordered.IDs, fmt.Sprint("deployment-", h.restarts))):
			read = rotate.ReadUnknown
		case h.readAt.After(h.storedAt):
			read = rotate.ReadCurrent
		}
		seen = rotate.Platform{
			Unrecorded: h.unrecorded, Free: h.free,
			Stored:    h.stored(),
			Instances: rotate.Instances{State: h.state, Read: read, Detail: h.detail()},
			Note:      h.note, Wishes: h.wishes,
		}
	})
	return seen, err
}

func (h *platform) Check(ctx context.Context) error {
	if err := h.do(ctx, "check", func() {}); err != nil {
		return err
	}
	return h.checkErr
}

func (h *platform) SaveNote(ctx context.Context, note rotate.Note) error {
	return h.do(ctx, "save note", func() { h.note = note })
}

func (h *platform) Store(ctx context.Context, credentials maia.Credentials) error {
	return h.do(ctx, "store", func() { h.put(credentials.ClientSecret.Reveal()) })
}

func (h *platform) stored() maia.Credentials {
	return maia.Credentials{ClientID: h.client, ClientSecret: maia.NewSecret(h.store)}
}

func (h *platform) detail() string {
	if h.state == rotate.Failing {
		return "container runner: CrashLoopBackOff"
	}
	return "one instance"
}

// put changes the store, as anybody may.
func (h *platform) put(secret string) { h.store, h.storedAt = secret, time.Now() }

func (h *platform) Restart(ctx context.Context) (ids []string, err error) {
	err = h.do(ctx, "restart", func() {
		h.replace()
		ids = []string{fmt.Sprint("deployment-", h.restarts)}
	})
	return ids, err
}

// replace starts a new instance and then stops the old one. The new one reads the store when it is ordered.
func (h *platform) replace() {
	h.restarts++
	h.state, h.readAt = rotate.Rolling, time.Now().Add(time.Millisecond)
	if h.failing {
		h.state = rotate.Failing
	}
	broken := h.brokenFor > 0
	h.brokenFor--
	time.AfterFunc(h.starts, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if broken {
			h.state = rotate.Failed
			return
		}
		if h.instance != nil {
			h.instance.Close()
		}
		if h.stop != nil {
			h.stop()
		}
		h.login()
		h.state = rotate.Steady
	})
}

// conforming is platform for the conformance suite.
type conforming struct{ *platform }

func newConforming(t *testing.T, setup rotatetest.Setup) rotatetest.Platform {
	h := &platform{
		t: t, id: setup.AgentID, client: setup.ClientID, store: setup.Secret, start: setup.Start,
		state: rotate.Steady, starts: 2500 * time.Millisecond, storedAt: time.Now().Add(-time.Hour), readAt: time.Now(),
	}
	h.login()
	return conforming{h}
}

// Runner implements rotatetest.Platform.
func (h conforming) Runner(_ context.Context, process *rotatetest.Process) (rotate.Runner, error) {
	return &wired{platform: h.platform, process: process}, nil
}

// Stored implements rotatetest.Platform.
func (h conforming) Stored() maia.Credentials {
	defer h.lock()()
	return h.stored()
}

// Put implements rotatetest.Platform.
func (h conforming) Put(secret string) {
	defer h.lock()()
	h.put(secret)
}

// Replace implements rotatetest.Platform.
func (h conforming) Replace() {
	defer h.lock()()
	h.replace()
}

// BreakRestarts implements rotatetest.Platform.
func (h conforming) BreakRestarts(n int) {
	defer h.lock()()
	h.brokenFor = n
}

// Wish implements rotatetest.Platform.
func (h conforming) Wish(wishes rotate.Wishes) error {
	defer h.lock()()
	h.wishes = wishes
	return nil
}

// Kept implements rotatetest.Platform.
func (h conforming) Kept() string {
	defer h.lock()()
	return fmt.Sprintf("%+v %+v %+v %+v", h.note, h.note.Intent, h.note.Paused, h.note.LastRotation)
}

// Foreign implements rotatetest.Platform. There is nothing else.
func (h conforming) Foreign() string { return "" }

func (h *platform) lock() (unlock func()) {
	h.mu.Lock()
	return h.mu.Unlock
}

// wired is the Runner of one process. It saves a note only over the one that it has seen, and orders no restart that has been ordered.
type wired struct {
	*platform
	process *rotatetest.Process
	seen    rotate.Note
}

func (w *wired) Observe(ctx context.Context) (seen rotate.Platform, err error) {
	err = w.process.Do("observe", func() (err error) {
		seen, err = w.platform.Observe(ctx)
		return err
	})
	if err == nil {
		w.seen = seen.Note
	}
	return seen, err
}

func (w *wired) Check(ctx context.Context) error {
	return w.process.Do("check", func() error { return w.platform.Check(ctx) })
}

func (w *wired) SaveNote(ctx context.Context, note rotate.Note) error {
	return w.process.Do("save note", func() error {
		var conflict error
		err := w.do(ctx, "save note", func() {
			if !w.note.Equal(w.seen) && !w.note.Equal(note) {
				conflict = rotate.Errorf(rotate.NotReady, "another run has changed the note")
				return
			}
			w.note, w.seen = note, note
		})
		return errors.Join(err, conflict)
	})
}

func (w *wired) Store(ctx context.Context, credentials maia.Credentials) error {
	return w.process.Do("store", func() error { return w.platform.Store(ctx, credentials) })
}

func (w *wired) Restart(ctx context.Context) (ids []string, err error) {
	noted := w.seen.Ordered
	unlock := w.lock()
	stands := noted != nil && noted.For == w.stored().ClientSecret.Fingerprint() && w.readAt.After(w.storedAt) && w.state == rotate.Steady
	if unlock(); stands {
		return noted.IDs, nil
	}
	err = w.process.Do("restart", func() (err error) {
		ids, err = w.platform.Restart(ctx)
		return err
	})
	return ids, err
}

// mustBeBack checks what is true of every runner at the end of a rotation that went well.
func (h *platform) mustBeBack() {
	h.t.Helper()
	live := h.maia.LiveSecret(agentID)
	if h.store != live {
		h.t.Errorf("the store does not hold what Maia holds")
	}
	if h.instance == nil || !h.instance.Connected() {
		h.t.Errorf("the runner is not connected")
	}
	if want := maia.NewSecret(live).Fingerprint(); h.note.Applied != want {
		h.t.Errorf("the note says applied %q, want %q", h.note.Applied, want)
	}
	if h.note.Intent != nil {
		h.t.Errorf("an intent is left open: %+v", *h.note.Intent)
	}
	agent, err := h.maia.Client(h.t).Agent(h.t.Context(), agentID)
	if err != nil { // a fault that the runs did not meet
		if agent, err = h.maia.Client(h.t).Agent(h.t.Context(), agentID); err != nil {
			h.t.Fatal(err)
		}
	}
	if agent.Status != maia.StatusRunning || h.note.Paused != nil {
		h.t.Errorf("status %q, note of a pause %v; want running and none", agent.Status, h.note.Paused)
	}
	if h.maia.Lost(agentID) != 0 {
		h.t.Errorf("%d pipelines were lost", h.maia.Lost(agentID))
	}
	h.mustNotLeak()
}

// mustNotLeak searches everything that was logged for every secret that there ever was.
func (h *platform) mustNotLeak() {
	h.t.Helper()
	_, api := h.maia.APICredential()
	for _, secret := range append(h.maia.Revoked(agentID), h.maia.LiveSecret(agentID), api) {
		if bytes.Contains(h.log.Bytes(), []byte(secret)) {
			h.t.Errorf("the log holds a secret")
		}
	}
}

func (h *platform) mustRefresh(times int) {
	h.t.Helper()
	if got := h.maia.Refreshes(agentID); got != times {
		h.t.Errorf("%d refreshes were carried out, want %d", got, times)
	}
}

// mustFail checks the kind and the state of an error.
func mustFail(t *testing.T, err error, kind rotate.Kind, state rotate.State) {
	t.Helper()
	var typed *rotate.Error
	if !errors.As(err, &typed) {
		t.Fatalf("error %v, want a *rotate.Error", err)
	}
	if typed.Kind != kind || typed.State != state {
		t.Errorf("error of kind %q in state %q, want %q in %q: %v", typed.Kind, typed.State, kind, state, err)
	}
}

func kinds(report rotate.Report) string {
	var text string
	for _, step := range report.Steps {
		text += fmt.Sprint(step.Kind, "; ")
	}
	return text
}
