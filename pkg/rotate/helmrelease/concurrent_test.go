package helmrelease_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maia-rotate/maia-rotate/internal/runnerchart"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// What other writers do during a run.

const anotherVersion = "99.0.0"

// withAnotherChart is a revision that an operator has made with another version of the chart, and the same values.
func withAnotherChart(rel *release.Release) {
	chart, metadata := *rel.Chart, *rel.Chart.Metadata
	metadata.Version = anotherVersion
	chart.Metadata = &metadata
	rel.Chart = &chart
}

// abortedAfterIntent is a run that ended when it had noted its intent, and announced the next revision.
func (r *rig) abortedAfterIntent() {
	r.t.Helper()
	runner, err := r.discover()
	r.must(err)
	_, err = runner.Observe(r.t.Context())
	r.must(err)
	over := maia.NewSecret(r.maia.LiveSecret(rigAgent)).Fingerprint()
	r.must(runner.SaveNote(r.t.Context(), rotate.Note{Intent: &rotate.Intent{At: time.Now().Add(-time.Hour), Over: over, By: "aborted"}}))
	runner.Release(r.t.Context())
	if announced := r.announced(); announced != "2" {
		r.t.Fatalf("revision %q is announced, expected 2", announced)
	}
}

// announced is the revision that the Lease says an upgrade of ours will make.
func (r *rig) announced() string {
	r.t.Helper()
	lease, err := r.clients.CoordinationV1().Leases(r.namespace).Get(context.Background(), leaseOfRelease, metav1.GetOptions{})
	r.must(err)
	return lease.Annotations["maia-rotate/helm-revision"]
}

// TestAnnouncedRevisionOfAnotherWriter has an operator's upgrade, of nothing but the chart, come to the revision that a run of
// ours had announced before it was aborted.
func TestAnnouncedRevisionOfAnotherWriter(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	t.Run("pending", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, p)
		r.connect()
		r.abortedAfterIntent()
		r.next(release.StatusPendingUpgrade, withAnotherChart)
		r.refused(rotate.NotReady, []string{"another Helm operation on release matillion-agent"})
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, p)
		r.connect()
		r.abortedAfterIntent()
		r.next(release.StatusFailed, withAnotherChart)
		if report, err := r.rotate(time.Minute); err != nil || report.Outcome != rotate.Rotated {
			t.Fatalf("%q, %v", report.Outcome, err)
		}
		last, err := r.helm.Releases.Last(releaseName)
		r.must(err)
		if last.Version != 3 || last.Chart.Metadata.Version == anotherVersion {
			t.Errorf("the newest revision is %d, with chart %s; expected 3, with the deployed chart", last.Version, last.Chart.Metadata.Version)
		}
		left, err := r.helm.Releases.Get(releaseName, 2)
		r.must(err)
		if left.Info.Status != release.StatusFailed || left.Chart.Metadata.Version != anotherVersion {
			t.Errorf("the operator's revision is %s, with chart %s", left.Info.Status, left.Chart.Metadata.Version)
		}
	})
}

// TestAnnouncementIsTakenBack when Maia refuses the refresh: the next revision will be another writer's.
func TestAnnouncementIsTakenBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	r.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.Status5xx, Status: 403})
	if _, err := r.rotate(time.Minute); rotate.KindOf(err) != rotate.Permission {
		t.Fatalf("got %v, expected an error of the kind permission", err)
	}
	if announced := r.announced(); announced != "" {
		t.Errorf("revision %q is announced still", announced)
	}
	if report, err := r.rotate(time.Minute); err != nil || report.Outcome != rotate.Rotated {
		t.Errorf("the next rotation ends with %q, %v", report.Outcome, err)
	}
}

// TestRolloutRestartAtTheRefresh has an operator restart the pods in the moment before the secret is revoked: the ones that
// come of it hold the revoked one, and are restarted by us.
func TestRolloutRestartAtTheRefresh(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	var pods []corev1.Pod
	r.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Before: func() {
		if err := r.rolloutRestart(); err != nil {
			t.Error(err)
		}
		var err error
		if pods, err = r.settled(); err != nil {
			t.Error(err)
		}
	}})
	if report, err := r.rotate(time.Minute); err != nil || report.Outcome != rotate.Rotated {
		t.Fatalf("with %d pods of an operator's restart: %q, %v", len(pods), report.Outcome, err)
	}
}

// TestUpgradeAtTheRefresh has an operator upgrade the release, with another chart, in the moment before the secret is revoked:
// the rotation goes on from that revision.
func TestUpgradeAtTheRefresh(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	r.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Before: func() {
		chart, err := runnerchart.Load()
		if err != nil {
			t.Error(err)
			return
		}
		chart.Metadata.Version = anotherVersion
		upgrade := action.NewUpgrade(r.helm)
		upgrade.Namespace, upgrade.ResetThenReuseValues = r.namespace, true
		if _, err := upgrade.RunWithContext(context.Background(), releaseName, chart,
			map[string]any{"ours": map[string]any{"text": "changed"}}); err != nil {
			t.Error(err)
		}
	}})
	if report, err := r.rotate(time.Minute); err != nil || report.Outcome != rotate.Rotated {
		t.Fatalf("%q, %v", report.Outcome, err)
	}
	last, err := r.helm.Releases.Last(releaseName)
	r.must(err)
	ours, _ := last.Config["ours"].(map[string]any)
	if last.Version != 3 || last.Chart.Metadata.Version != anotherVersion || ours["text"] != "changed" ||
		declared(last) != r.maia.LiveSecret(rigAgent) {
		t.Errorf("revision %d has chart %s and values\n%s", last.Version, last.Chart.Metadata.Version, asJSON(ours))
	}
}

// TestObjectThatGoesAtTheRefresh has an operator delete an object of the release in the moment before the secret is revoked. The
// runner comes back, and the run reports that the upgrade is impossible until the object is back. The operator's upgrade that
// brings it back also restores the revoked secret, which is noticed.
func TestObjectThatGoesAtTheRefresh(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	r.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Before: func() {
		if err := r.clients.NetworkingV1().NetworkPolicies(r.namespace).Delete(context.Background(), fullName+"-deny-ingress",
			metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}})
	report, err := r.rotate(time.Minute)
	if report.State != rotate.Back || rotate.KindOf(err) != rotate.Configuration ||
		!strings.Contains(err.Error(), "NetworkPolicy "+fullName+"-deny-ingress in namespace "+r.namespace+" of release matillion-agent "+
			"is gone") {
		t.Fatalf("the run ends %q, with %v", report.State, err)
	}
	restarts := r.sets()
	r.operatorsUpgrade(nil, func(u *action.Upgrade) { u.ReuseValues, u.PostRenderer = true, replicas(scaledTo) })
	if live, err := r.secret(); err != nil || live == r.maia.LiveSecret(rigAgent) {
		t.Errorf("the operator's upgrade has not put the revoked secret back: %v", err)
	}
	r.healed()
	if r.sets() != restarts {
		t.Error("the runner, which is back, was restarted")
	}
}

// TestNoRoomForAllNewPods has old pods hold their places for longer than anybody waits: the runner is back when one new pod
// is, and nothing is refreshed until all are.
func TestNoRoomForAllNewPods(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	r.must(r.annotate("runner.test/hang", "1"))
	if report, err := r.rotate(20 * time.Second); err != nil || report.Outcome != rotate.Rotated {
		t.Fatalf("%q, %v", report.Outcome, err)
	}
	if !strings.Contains(r.log.String(), "not all new pods find a node") || !strings.Contains(r.log.String(), "Insufficient cpu") {
		t.Errorf("no warning in the log:\n%s", r.log.String())
	}
	_, err := r.rotate(time.Second)
	if rotate.KindOf(err) != rotate.NotReady || !strings.Contains(err.Error(), "the deployment is short of room") ||
		r.maia.Refreshes(rigAgent) != 1 {
		t.Errorf("the next one ends with %v, after %d refreshes", err, r.maia.Refreshes(rigAgent))
	}
	r.must(r.annotate("runner.test/hang", ""))
	_, err = r.settled()
	r.must(err)
	if report, err := r.rotate(time.Minute); err != nil || report.Outcome != rotate.Rotated {
		t.Errorf("when there is room: %q, %v", report.Outcome, err)
	}
}
