package helmrelease_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/helmrelease"
)

// through has the calls of a Runner go through something.
func through(do func(request *http.Request, next http.RoundTripper) (*http.Response, error)) func(*helmrelease.Config) {
	return func(c *helmrelease.Config) {
		c.REST.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(request *http.Request) (*http.Response, error) { return do(request, next) })
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// TestCancelledInTheMiddleOfTheUpgrade cancels the caller's context when the upgrade changes the Secret: the upgrade is
// completed, and the restart is ordered.
func TestCancelledInTheMiddleOfTheUpgrade(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := r.run(ctx, rotate.Rotate, time.Minute, through(func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/secrets/"+configSecret) &&
			request.URL.Query().Get("dryRun") == "" {
			cancel()
		}
		return next.RoundTrip(request)
	}))
	if rotate.KindOf(err) != rotate.NotReady || ctx.Err() == nil {
		t.Errorf("the run ends with %v", err)
	}
	r.whole()
	if last, err := r.helm.Releases.Last(releaseName); err != nil || last.Version != 2 {
		t.Errorf("the newest revision is %d: %v", last.Version, err)
	}
	_, err = r.settled()
	r.must(err)
	if report, err := r.run(t.Context(), rotate.Heal, time.Minute); err != nil || report.Outcome != rotate.Rotated {
		t.Errorf("the next run ends with %q, %v", report.Outcome, err)
	}
}

// TestOperatorsUpgradeThatTimedOut is helm upgrade --wait with a secret that a person has refreshed: the Secret is new, and the
// deployed revision holds the revoked one, which the next upgrade would put back.
func TestOperatorsUpgradeThatTimedOut(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p, func(values map[string]any) { values["podChecksum"] = true })
	r.rotated()
	r.must(r.annotate("runner.test/hang", "true"))
	secret := r.maia.ConsoleRefresh(rigAgent)
	last, err := r.helm.Releases.Last(releaseName)
	r.must(err)
	upgrade := action.NewUpgrade(r.helm)
	upgrade.Namespace, upgrade.ResetThenReuseValues, upgrade.PostRenderer = r.namespace, true, replicas(scaledTo)
	upgrade.Wait, upgrade.Timeout = true, 2*time.Second
	if _, err := upgrade.RunWithContext(t.Context(), releaseName, last.Chart,
		map[string]any{"config": map[string]any{"oauthClientSecret": secret}}); err == nil {
		t.Fatal("the operator's upgrade went well")
	}
	deployed, err := r.helm.Releases.Deployed(releaseName)
	r.must(err)
	if live, err := r.secret(); err != nil || live != secret || declared(deployed) == secret {
		t.Fatalf("it has not left what it should: %v", err)
	}
	r.must(r.annotate("runner.test/hang", ""))
	_, err = r.settled()
	r.must(err)
	r.healed()
}

// TestRollbackAfterARotation is helm rollback, which puts a revoked secret back: the runner, which is connected, is not
// restarted.
func TestRollbackAfterARotation(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.rotated()
	sets := r.sets()
	rollback := action.NewRollback(r.helm)
	rollback.Version = 1
	r.must(rollback.Run(releaseName))
	r.must(r.scale(scaledTo))
	_, err := r.settled()
	r.must(err)
	if secret, err := r.secret(); err != nil || secret == r.maia.LiveSecret(rigAgent) {
		t.Fatalf("the rollback has not put the revoked secret back: %v", err)
	}
	r.healed()
	if r.sets() != sets {
		t.Error("the runner was restarted")
	}
	if last, err := r.helm.Releases.Last(releaseName); err != nil || last.Info.Status != release.StatusDeployed || last.Version != 4 {
		t.Errorf("revision %d is %s: %v", last.Version, last.Info.Status, err)
	}
}

// TestPruningFails has ten revisions, so that the upgrade deletes one, and that call goes wrong.
func TestPruningFails(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, test := range map[string]struct{ after, cut bool }{
		"it is not carried out":     {},
		"its answer is lost":        {after: true},
		"the process ends before":   {cut: true},
		"the process ends after it": {after: true, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			for range 9 {
				r.operatorsUpgrade(nil, func(u *action.Upgrade) { u.ReuseValues, u.PostRenderer = true, replicas(scaledTo) })
			}
			r.connect()
			var injected, gone atomic.Bool
			report, err := r.run(t.Context(), rotate.Rotate, time.Minute,
				through(func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
					if gone.Load() {
						return nil, context.Canceled
					}
					if request.Method != http.MethodDelete || request.URL.Query().Has("dryRun") || injected.Swap(true) {
						return next.RoundTrip(request)
					}
					if test.after {
						if response, err := next.RoundTrip(request); err == nil {
							_ = response.Body.Close()
						}
					}
					if gone.Store(test.cut); test.cut {
						return nil, context.Canceled
					}
					return nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
				}))
			if test.cut && err != nil {
				report, err = r.run(t.Context(), rotate.Heal, time.Minute)
			}
			if err != nil || report.Outcome != rotate.Rotated || !injected.Load() {
				t.Errorf("it ends with %q, %v; the call went wrong: %t", report.Outcome, err, injected.Load())
			}
			r.whole()
			if history, err := r.helm.Releases.History(releaseName); err != nil || len(history) > 10 {
				t.Errorf("%d revisions are kept: %v", len(history), err)
			}
		})
	}
}

// TestPodsThatAreNewerThanTheSecret has an operator put another secret into the release, and then restart the pods, which
// keep the mark of our last restart: it is not believed.
func TestPodsThatAreNewerThanTheSecret(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.rotated()
	reads := func(want rotate.ReadState) {
		t.Helper()
		runner, err := r.discover()
		r.must(err)
		platform, err := runner.Observe(t.Context())
		r.must(err)
		if platform.Instances.Read != want {
			t.Errorf("the pods have read %q, expected %q", platform.Instances.Read, want)
		}
	}
	reads(rotate.ReadCurrent)
	r.must(r.put(r.maia.ConsoleRefresh(rigAgent)))
	reads(rotate.ReadOlder)
	// The API server's times are of whole seconds: pods of the next one are newer.
	<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	r.must(r.rolloutRestart())
	_, err := r.settled()
	r.must(err)
	reads(rotate.ReadUnknown)
}
