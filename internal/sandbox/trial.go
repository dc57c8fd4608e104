package sandbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// Trial is how a fault is played, and what is proved of it.
type Trial struct {
	Proofs
	Maia    *Maia
	Journal Journal

	mu       sync.Mutex
	injected bool
}

// Does makes of what is done to a world, and cannot fail, what may fail.
func Does[W any](inject func(W)) func(context.Context, W) error {
	return func(_ context.Context, world W) error {
		inject(world)
		return nil
	}
}

// Happened says that the fault has happened.
func (t *Trial) Happened() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.injected = true
}

// Inject says so where no other event shows it.
func (t *Trial) Inject(name, text string) {
	t.Happened()
	t.Journal.Fail(FromFault, name, "%s", text)
}

// ProveHappened adds that the fault has happened.
func (t *Trial) ProveHappened() {
	t.mu.Lock()
	injected := t.injected
	t.mu.Unlock()
	t.Prove("the fault happened", injected, "it did not")
}

// maxCalls is how often a function is called until a fault must have been repaired.
const maxCalls = 4

// CallUntilOK calls until a call succeeds.
func (t *Trial) CallUntilOK(ctx context.Context, call func(context.Context) bool) error {
	for n := range maxCalls {
		if call(ctx) {
			t.Prove(fmt.Sprintf("call %d succeeds", n+1), true, "")
			return ctx.Err()
		}
	}
	t.Prove(fmt.Sprintf("one of %d calls succeeds", maxCalls), false, "none does")
	return ctx.Err()
}

// NothingDue calls once more, and adds that it finds nothing to do. started is how many instances of the runner have ever
// started.
func (t *Trial) NothingDue(ctx context.Context, started func() int, call func(context.Context) bool) error {
	refreshes, instances := t.Maia.Refreshes(AgentID), started()
	ok := call(ctx)
	t.Prove("one more call finds nothing due", ok && t.Maia.Refreshes(AgentID) == refreshes && started() == instances,
		"it failed, refreshed or restarted")
	return ctx.Err()
}

// Once does something at the first of the named calls to Maia, before its answer.
func (t *Trial) Once(name maiatest.Name, do func()) {
	var once sync.Once
	t.Maia.OnCall(func(call maiatest.Call) {
		if call.Name == name {
			once.Do(do)
		}
	})
}

// RefreshAnswerLost has the answer of the first refresh not arrive.
func (t *Trial) RefreshAnswerLost() {
	t.Maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.DropAfter, After: t.Happened})
}

// RefreshLate has the first refresh get no answer, and carried out three seconds later.
func (t *Trial) RefreshLate() {
	t.Maia.Inject(maiatest.Fault{
		Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.Late, Delay: 3 * time.Second,
		After: func() {
			t.Inject("refresh-late", "the refresh that got no answer is carried out now")
			t.Maia.OnRefresh(0)
		},
	})
}

// KilledAfterRefresh has the function killed when the first refresh was carried out.
func (t *Trial) KilledAfterRefresh(kill func()) {
	// No answer either: whether the function got it before it died would be a matter of luck.
	t.Maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.DropAfter})
	t.Once(maiatest.RefreshCredentials, func() { t.Kill(kill) })
}

// Kill kills the function.
func (t *Trial) Kill(kill func()) {
	t.Inject("killed", "the function is killed (SIGKILL)")
	kill()
}

// RefreshedInConsole has a person refresh.
func (t *Trial) RefreshedInConsole() {
	t.Maia.ConsoleRefresh(AgentID)
	t.Maia.Cut()
	t.Inject("console", "a person refreshes in Maia's console: the runner is cut off")
}

// PausedByOperator has an operator pause the runner.
func (t *Trial) PausedByOperator(ctx context.Context) error {
	t.Happened()
	return t.Maia.OperatorPauses(ctx, time.Hour)
}

// ProveNothingRefreshed adds that there was no refresh.
func (t *Trial) ProveNothingRefreshed(text string) {
	t.Prove(text, t.Maia.Refreshes(AgentID) == 0, "it refreshed")
}

// ProveLeftAsItWas adds that the runner works, after a call that failed.
func (t *Trial) ProveLeftAsItWas(ctx context.Context) {
	agent, err := t.Maia.Client.Agent(ctx, AgentID)
	t.Prove("it left the runner resumed and connected", err == nil && agent.Status == "running" && agent.Connected,
		"status "+string(agent.Status))
}

// Healed is that a call succeeds that finds something to heal, and nothing to refresh.
func (t *Trial) Healed(ctx context.Context, call func(context.Context) bool) error {
	refreshes := t.Maia.Refreshes(AgentID)
	ok := call(ctx)
	t.Prove("the call that found it succeeds", ok, "it fails")
	t.Prove("it refreshed nothing", t.Maia.Refreshes(AgentID) == refreshes, "it refreshed")
	return ctx.Err()
}
