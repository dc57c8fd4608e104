package helmrelease_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/helmrelease"
)

// intercept has something done before each call that changes the runner's Secret.
type intercept struct {
	next   http.RoundTripper
	before func()
}

// RoundTrip implements http.RoundTripper.
func (i intercept) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/secrets/"+configSecret) && request.URL.Query().Get("dryRun") == "" {
		i.before()
	}
	return i.next.RoundTrip(request)
}

// TestCancelledInTheMiddleOfTheUpgrade has the caller go when the upgrade changes the Secret: the upgrade is completed, and the
// restart is ordered.
func TestCancelledInTheMiddleOfTheUpgrade(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := r.run(ctx, rotate.Rotate, time.Minute, func(c *helmrelease.Config) {
		c.REST.Wrap(func(next http.RoundTripper) http.RoundTripper { return intercept{next, cancel} })
	})
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
	if _, err := upgrade.RunWithContext(t.Context(), releaseName, last.Chart, map[string]any{"config": map[string]any{"oauthClientSecret": secret}}); err == nil {
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
