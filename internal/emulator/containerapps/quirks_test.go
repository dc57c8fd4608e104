package containerapps_test

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
)

// play is a test in a rig that plays quirks.
func play(t *testing.T, test func(r *rig), names ...string) {
	t.Run(strings.Join(names, " "), func(t *testing.T) {
		inRig(t, nil, func(r *rig) {
			if err := r.server.Play(names...); err != nil {
				r.t.Fatal(err)
			}
			test(r)
		})
	})
}

func (r *rig) restart() {
	r.t.Helper()
	if _, err := r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--1", nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) revision() *armappcontainers.RevisionProperties {
	r.t.Helper()
	page, err := r.revisions.NewListRevisionsPager("runners", "runner", nil).NextPage(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return page.Value[0].Properties
}

func (r *rig) listReplicas() []*armappcontainers.Replica {
	r.t.Helper()
	found, err := r.replicas.ListReplicas(r.t.Context(), "runners", "runner", "runner--1", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return found.Value
}

// value is what the secret "one" is listed as.
func (r *rig) value(name string) string {
	r.t.Helper()
	found, err := r.apps.ListSecrets(r.t.Context(), "runners", "runner", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, one := range found.Value {
		if *one.Name == name && one.Value != nil {
			return *one.Value
		}
	}
	return ""
}

// change sets the secret "one".
func (r *rig) change(value string) error {
	key, identity := "https://vault.example/s", "system"
	name := "vault"
	return r.patch("westeurope", secret("one", value), secret("two", "2"),
		&armappcontainers.Secret{Name: &name, KeyVaultURL: &key, Identity: &identity})
}

func TestEveryQuirkHasAName(t *testing.T) {
	names := map[string]bool{}
	for _, q := range containerapps.Quirks() {
		if q.Name == "" || q.Behaviour == "" || q.Source == "" || names[q.Name] {
			t.Errorf("%+v", q)
		}
		names[q.Name] = true
	}
	inRig(t, nil, func(r *rig) {
		if err := r.server.Play("rollout-9m", "nobody's"); err == nil {
			r.t.Error("a quirk that is not known is played")
		}
	})
}

func TestQuirksOfRollouts(t *testing.T) {
	for name, at := range map[string]time.Duration{"rollout-1s": time.Second, "rollout-9m": 9 * time.Minute, "rollout-60m": time.Hour} {
		play(t, func(r *rig) {
			before := *r.listReplicas()[0].Name
			r.restart()
			time.Sleep(at - time.Millisecond)
			if now := *r.listReplicas()[0].Name; now != before {
				r.t.Errorf("%s has replaced %s too soon", now, before)
			}
			time.Sleep(2 * time.Millisecond)
			if now := *r.listReplicas()[0].Name; now == before {
				r.t.Errorf("%s is there still", now)
			}
		}, name)
	}
	play(t, func(r *rig) {
		r.server.Hasten(8)
		before := *r.listReplicas()[0].Name
		r.restart()
		time.Sleep(450*time.Second + time.Millisecond)
		if now := *r.listReplicas()[0].Name; now == before {
			r.t.Errorf("%s is there still, in a rollout of an hour that is 8 times as fast", now)
		}
	}, "rollout-60m")
	play(t, func(r *rig) {
		r.restart()
		if n := len(r.listReplicas()); n != 0 {
			r.t.Errorf("%d replicas are shown", n)
		}
		time.Sleep(4 * time.Minute)
		if n := len(r.listReplicas()); n != 2 {
			r.t.Errorf("%d replicas are shown in the end", n)
		}
	}, "no-replicas-shown")
	play(t, func(r *rig) {
		before := *r.listReplicas()[0].Name
		r.restart()
		time.Sleep(time.Minute)
		if one := r.listReplicas()[0]; *one.Name != before || *one.Properties.Containers[0].RestartCount != 1 {
			r.t.Errorf("%s, restarted %d times", *one.Name, *one.Properties.Containers[0].RestartCount)
		}
	}, "in-place")
	play(t, func(r *rig) {
		for try := range 5 {
			_, err := r.revisions.RestartRevision(r.t.Context(), "runners", "runner", "runner--1", nil)
			if (err != nil) != (try < 1) {
				r.t.Errorf("restart %d: %v", try+1, err)
			}
		}
	}, "sibling-fails")
}

func TestQuirksOfStates(t *testing.T) {
	for name, shows := range map[string]string{"state-failed": "Failed", "state-degraded": "Degraded", "state-unknown": "Unknown"} {
		play(t, func(r *rig) {
			if one := r.revision(); string(*one.RunningState) != shows || !*r.listReplicas()[0].Properties.Containers[0].Ready {
				r.t.Errorf("%s", *one.RunningState)
			}
		}, name)
	}
	play(t, func(r *rig) {
		if one := r.revision(); *one.HealthState != "Unhealthy" {
			r.t.Errorf("%s", *one.HealthState)
		}
	}, "state-unhealthy")
	play(t, func(r *rig) {
		if one := r.revision(); *one.RunningState != "Running" {
			r.t.Errorf("%s before a restart", *one.RunningState)
		}
		r.restart()
		time.Sleep(time.Minute)
		if one := r.revision(); *one.RunningState != "Failed" || *one.HealthState != "Unhealthy" {
			r.t.Errorf("%s after one", *one.RunningState)
		}
		time.Sleep(10 * time.Minute)
		if one := r.revision(); *one.RunningState != "Running" {
			r.t.Errorf("%s in the end", *one.RunningState)
		}
	}, "failed-after-restart")
	play(t, func(r *rig) {
		if reference := *r.revision().Template.Containers[0].Env[1].SecretRef; reference != "capp-runner" {
			r.t.Errorf("the reference is %s", reference)
		}
		if reference := *r.get().Properties.Template.Containers[0].Env[1].SecretRef; reference != "one" {
			r.t.Errorf("the reference of the app's template is %s", reference)
		}
	}, "capp-references")
	play(t, func(r *rig) {
		if r.value("vault") == "" {
			r.t.Error("it is listed without a value")
		}
	}, "vault-values")
}

func TestQuirksOfChanges(t *testing.T) {
	for name, took := range map[string]time.Duration{"operation-75s": 75 * time.Second, "operation-10m": 10 * time.Minute} {
		play(t, func(r *rig) {
			if err := r.change("new"); err != nil {
				r.t.Fatal(err)
			}
			time.Sleep(took - time.Millisecond)
			if state := r.state(); state != "InProgress" {
				r.t.Errorf("%s too soon", state)
			}
			time.Sleep(2 * time.Millisecond)
			if state := r.state(); state != "Succeeded" || r.value("one") != "new" {
				r.t.Errorf("%s, %s", state, r.value("one"))
			}
		}, name)
	}
	for name, code := range map[string]string{
		"policy-on-apps": "RequestDisallowedByPolicy", "deny-assignment": "DenyAssignmentAuthorizationFailed", "locked": "ScopeLocked",
		"quota": "QuotaExceeded",
	} {
		play(t, func(r *rig) {
			if err := r.change("new"); err == nil || !strings.Contains(err.Error(), code) {
				r.t.Errorf("%v", err)
			}
		}, name)
	}
	play(t, func(r *rig) {
		location := "westeurope"
		if _, err := r.apps.BeginUpdate(r.t.Context(), "runners", "runner", armappcontainers.ContainerApp{Location: &location}, nil); err != nil {
			r.t.Errorf("a change of the location: %v", err)
		}
		if err := r.change("new"); err == nil || !strings.Contains(err.Error(), "RequestDisallowedByPolicy") {
			r.t.Errorf("%v", err)
		}
	}, "policy-on-secrets")
}

func TestQuirksOfReads(t *testing.T) {
	for name, lag := range map[string]time.Duration{"lag-5s": 5 * time.Second, "lag-30s": 30 * time.Second} {
		play(t, func(r *rig) {
			time.Sleep(time.Minute)
			if err := r.change("new"); err != nil {
				r.t.Fatal(err)
			}
			time.Sleep(lag - time.Millisecond)
			if state, value := r.state(), r.value("one"); state != "Succeeded" || value != "1" {
				r.t.Errorf("%s, %s are shown already", state, value)
			}
			time.Sleep(4 * time.Second)
			if state, value := r.state(), r.value("one"); state != "Succeeded" || value != "new" {
				r.t.Errorf("%s, %s are shown in the end", state, value)
			}
		}, name)
	}
	play(t, func(r *rig) {
		if err := r.change("new"); err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		var shown []string
		for range 6 {
			shown = append(shown, r.value("one"))
		}
		if got := strings.Join(shown, " "); got != "new new new 1 new new" {
			r.t.Errorf("%s", got)
		}
	}, "lag-back")
	play(t, func(r *rig) {
		refused := 0
		for range 12 {
			if _, err := r.apps.Get(r.t.Context(), "runners", "runner", nil); err != nil && strings.Contains(err.Error(), "TooManyRequests") {
				refused++
			}
		}
		if refused != 2 {
			r.t.Errorf("%d of 12 calls are refused", refused)
		}
	}, "throttled")
	play(t, func(r *rig) {
		began := time.Now()
		for range 7 {
			r.get()
		}
		if took := time.Since(began); took != 25*time.Second {
			r.t.Errorf("7 calls took %s", took)
		}
	}, "slow-answers")
}
