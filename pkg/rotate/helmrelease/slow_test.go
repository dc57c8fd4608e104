package helmrelease_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/rotatetest"
)

// bubble is a runner on the real cluster, in fake time, and Maia.
type bubble struct {
	*gkePlatform
	t    *testing.T
	maia *maiatest.Server
}

// inBubble plays with a runner whose cluster has quirks.
func inBubble(t *testing.T, play func(*bubble), quirks ...string) {
	t.Helper()
	p, out := newPlace(t), newOutside()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, maia: maiatest.New()}
		t.Cleanup(b.maia.Close)
		b.maia.AddAgent(maiatest.AgentSpec{ID: rigAgent, Name: "runner", ClientID: rigClient})
		setup := rotatetest.Setup{AgentID: rigAgent, ClientID: rigClient, Secret: b.maia.LiveSecret(rigAgent), Quirks: quirks}
		b.gkePlatform = newPlatformOf(t, p, out, setup, func(clientID, secret string) (func(), error) {
			instance, err := b.maia.Connect(rigAgent, clientID, secret)
			if err != nil {
				return func() {}, err
			}
			return instance.Close, nil
		})
		time.Sleep(time.Hour)
		play(b)
		synctest.Wait()
	})
}

// process runs in a process of its own.
func (b *bubble) process(mode rotate.Mode, connect time.Duration, wrap func(http.RoundTripper) http.RoundTripper) (rotate.Report, error) {
	b.t.Helper()
	if wrap == nil {
		wrap = func(next http.RoundTripper) http.RoundTripper { return next }
	}
	runner, err := b.runner(b.t.Context(), wrap)
	if err != nil {
		return rotate.Report{}, err
	}
	policy := rotate.DefaultPolicy()
	policy.Drain, policy.ConnectTimeout = rotate.DrainNone, connect
	rotator := rotate.Rotator{Maia: b.maia.Client(b.t), Policy: policy}
	return rotator.Run(b.t.Context(), runner, mode)
}

// templates is how many templates the runner's pods have had.
func (b *bubble) templates() (n int) {
	b.must(func() error {
		sets, err := b.cluster.clients.AppsV1().ReplicaSets(b.cluster.namespace).List(b.t.Context(), metaListOptions)
		if err == nil {
			n = len(sets.Items)
		}
		return err
	})
	return n
}

// TestRolloutOfNineMinutesIsOneRestart has the containers of new pods take longer to start than the connect time-out: what was ordered is
// waited for, by one process after the other, and not ordered again.
func TestRolloutOfNineMinutesIsOneRestart(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bubble) {
		before := b.templates()
		report, err := b.process(rotate.Rotate, 8*time.Minute, nil)
		if err == nil || report.State != rotate.NotBack {
			b.t.Errorf("the first run ends %q, with %v", report.State, err)
		}
		for range 3 {
			if report, err = b.process(rotate.Heal, 8*time.Minute, nil); err == nil {
				break
			}
		}
		if err != nil || !report.Connected {
			b.t.Errorf("the last run ends %q, with %v", report.State, err)
		}
		if got := b.templates() - before; got != 1 {
			b.t.Errorf("%d restarts, want 1", got)
		}
	}, "rollout-9m")
}

// TestPodsThatCrashAtFirstAreWaitedFor is a restart whose pods crash for 20 s, and then come up by themselves.
func TestPodsThatCrashAtFirstAreWaitedFor(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bubble) {
		before := b.templates()
		report, err := b.process(rotate.Rotate, 90*time.Second, nil)
		if err != nil || report.Outcome != rotate.Rotated {
			b.t.Errorf("the run ends with %q, %v", report.Outcome, err)
		}
		if got := b.templates() - before; got != 1 {
			b.t.Errorf("%d restarts, want 1", got)
		}
	}, "pods-crash-20s")
}

// TestPodsThatGoOnCrashingAreReported quotes the container's reason when the connect time-out is over.
func TestPodsThatGoOnCrashingAreReported(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bubble) {
		b.BreakRestarts(9)
		before := b.templates()
		_, err := b.process(rotate.Rotate, 90*time.Second, nil)
		if err == nil || !strings.Contains(err.Error(), "container dpc-agent: CrashLoopBackOff") {
			b.t.Errorf("the run ends with %v", err)
		}
		if got := b.templates() - before; got != 1 {
			b.t.Errorf("%d restarts, want 1", got)
		}
	})
}

// TestReadsOfADeploymentThatLag has reads of the Deployment show it as before for 30 s after the restart.
func TestReadsOfADeploymentThatLag(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bubble) {
		before := b.templates()
		report, err := b.process(rotate.Rotate, 5*time.Minute, nil)
		if err != nil || report.Outcome != rotate.Rotated {
			b.t.Errorf("the run ends with %q, %v", report.Outcome, err)
		}
		if got := b.templates() - before; got != 1 {
			b.t.Errorf("%d restarts, want 1", got)
		}
	}, "deployment-reads-lag-30s")
}
