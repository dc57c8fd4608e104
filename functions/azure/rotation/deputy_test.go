package rotation

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The thief has a runner in an app of their own, which they may change as they like.
const (
	thiefID      = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	thiefApp     = groupID + "/providers/Microsoft.App/containerApps/thief"
	victimClient = "client-of-the-victim"
	victimSecret = "the-first-secret-of-the-victim"
)

// deputyWorld is Maia with two runners, and the function's storage account. Each call has apps of its own.
type deputyWorld struct {
	t     *testing.T
	maia  *maiatest.Server
	state *blobs.Server
	log   bytes.Buffer
}

func newDeputyWorld(t *testing.T) *deputyWorld {
	w := &deputyWorld{t: t, maia: maiatest.New(maiatest.WithAPICredential("api", apiSecret)), state: blobs.New(string(accepted))}
	t.Cleanup(w.maia.Close)
	t.Cleanup(w.state.End)
	w.maia.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: victimClient, Secret: victimSecret})
	w.maia.AddAgent(maiatest.AgentSpec{ID: thiefID, ClientID: "client-of-the-thief", Secret: "the-first-secret-of-the-thief"})
	return w
}

// deputyApp is a runner's app.
func deputyApp(id, agent, client, secret string) containerapps.Spec {
	return containerapps.Spec{
		ID: id, Location: "westeurope", Tags: map[string]string{"maia-rotate": "enabled"}, Replicas: 1,
		Secrets: []containerapps.Secret{{Name: "matillion-client-secret", Value: secret}},
		Containers: []any{map[string]any{"name": "runner", "image": "runner", "env": []any{
			map[string]any{"name": "AGENT_ID", "value": agent}, map[string]any{"name": "MATILLION_REGION", "value": "eu1"},
			map[string]any{"name": "OAUTH_CLIENT_ID", "value": client}, map[string]any{"name": "OAUTH_CLIENT_SECRET",
				"secretRef": "matillion-client-secret"},
		}}},
	}
}

// call plans and calls the function once with these apps. It returns the answer with the plan, and the secrets that the apps hold in the
// end.
func (w *deputyWorld) call(settings map[string]string, specs ...containerapps.Spec) (status int, said string, stored map[string]string) {
	w.t.Helper()
	apps := containerapps.New(containerapps.Options{
		Token: string(accepted), Provision: 1300 * time.Millisecond, Start: 1100 * time.Millisecond, Roll: 1700 * time.Millisecond,
		StartReplica: func(_ string, env map[string]string) (func(), error) {
			instance, err := w.maia.Connect(env["AGENT_ID"], env["OAUTH_CLIENT_ID"], env["OAUTH_CLIENT_SECRET"])
			if err != nil {
				return func() {}, nil // it runs on
			}
			return instance.Close, nil
		},
	})
	defer apps.Close()
	for _, spec := range specs {
		apps.Add(spec)
	}
	time.Sleep(time.Hour)
	h := New(with(settings), &w.log)
	h.rotators.HTTPClient = &http.Client{Transport: w.maia.Transport()}
	h.WithCredential(accepted, &http.Client{Transport: wire.Transport(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Host, ".blob.") {
			w.state.ServeHTTP(out, r)
			return
		}
		apps.ServeHTTP(out, r)
	}))})
	planned, err := h.Plan(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, post(good))
	stored = map[string]string{}
	for _, spec := range specs {
		stored[spec.ID] = apps.Secret(spec.ID, "matillion-client-secret").Value
	}
	return recorder.Code, recorder.Body.String() + fmt.Sprintf("%+v", planned), stored
}

func (w *deputyWorld) mustNotLeak(said string) {
	w.t.Helper()
	for _, secret := range append(w.maia.Revoked(agentID), w.maia.LiveSecret(agentID)) {
		if strings.Contains(said+w.log.String(), secret) {
			w.t.Errorf("a secret left the function")
		}
	}
}

// TestConfusedDeputy: a thief whose app names another runner's agent does not get that runner's secret, however the apps are found and
// listed and the ID is written, and whether the two were served before or not.
func TestConfusedDeputy(t *testing.T) {
	const only = "MAIA_CONTAINER_APPS"
	configurations := map[string]map[string]string{
		"tagged, the victim is listed": {only: "", "MAIA_RESOURCE_GROUPS": groupID, "MAIA_AGENT_IDS": agentID},
		"tagged, both are listed": {only: "", "MAIA_RESOURCE_GROUPS": groupID,
			"MAIA_AGENT_IDS": agentID + "," + thiefID},
		"configured, both are listed":                       {only: appID + "," + thiefApp, "MAIA_AGENT_IDS": agentID + "," + thiefID},
		"configured, the thief is listed":                   {only: thiefApp, "MAIA_AGENT_IDS": thiefID},
		"configured, only the thief's app, both are listed": {only: thiefApp, "MAIA_AGENT_IDS": agentID + "," + thiefID},
		"configured, only the thief's app, no list":         {only: thiefApp, "MAIA_AGENT_IDS": ""},
	}
	scenarios := 0
	for _, name := range slices.Sorted(maps.Keys(configurations)) {
		for _, before := range []string{"never served", "served", "the victim too"} {
			for _, spelled := range []string{agentID, strings.ToUpper(agentID)} {
				for _, client := range []string{"client-of-the-thief", victimClient} {
					scenarios++
					t.Run(strings.Join([]string{name, before, spelled[:8], client}, "/"), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							w := newDeputyWorld(t)
							victim, thief := deputyApp(appID, agentID, victimClient, victimSecret), deputyApp(thiefApp, thiefID, "client-of-the-thief",
								"the-first-secret-of-the-thief")
							if before == "served" || before == "the victim too" {
								served := []containerapps.Spec{thief}
								settings := map[string]string{only: thiefApp, "MAIA_AGENT_IDS": thiefID}
								if before == "the victim too" {
									served, settings = append(served, victim), map[string]string{only: thiefApp + "," + appID,
										"MAIA_AGENT_IDS": thiefID + "," + agentID}
								}
								status, said, stored := w.call(settings, served...)
								if status != http.StatusOK || w.maia.Refreshes(thiefID) != 1 {
									t.Fatalf("the runners are not served: %s", said)
								}
								if secret, ok := stored[appID]; ok {
									victim.Secrets[0].Value = secret
								}
							}
							live, refreshes := w.maia.LiveSecret(agentID), w.maia.Refreshes(agentID)
							// The thief edits the app; the victim's is healthy.
							thief = deputyApp(thiefApp, spelled, client, "a-guess-of-the-thief")
							for range 2 {
								status, said, stored := w.call(configurations[name], victim, thief)
								if status == http.StatusOK || !strings.Contains(said, "thief") {
									t.Errorf("that is no failure of the thief's app: %s", said)
								}
								for _, secret := range append(w.maia.Revoked(agentID), w.maia.LiveSecret(agentID)) {
									if stored[thiefApp] == secret {
										t.Errorf("the victim's secret is in the thief's app: %s", said)
									}
								}
								if w.maia.Refreshes(agentID) != refreshes || stored[appID] != live || w.maia.LiveSecret(agentID) != live {
									t.Errorf("the victim is not as it was")
								}
								w.mustNotLeak(said)
							}
						})
					})
				}
			}
		}
	}
	t.Logf("%d scenarios", scenarios)
}

// TestConfusedDeputyWhileTheVictimIsDown: the store of a runner that is down is repaired if it lacks Maia's secret; but not if
// the agent is not listed, is another app's too, or has its note for another app.
func TestConfusedDeputyWhileTheVictimIsDown(t *testing.T) {
	const only = "MAIA_CONTAINER_APPS"
	for name, test := range map[string]struct {
		settings map[string]string
		gone     bool // the victim's app is not there any more
		served   bool // but was served before
	}{
		"tagged, both are listed": {map[string]string{only: "", "MAIA_RESOURCE_GROUPS": groupID,
			"MAIA_AGENT_IDS": agentID + "," + thiefID}, false, false},
		"configured, both are listed": {map[string]string{only: appID + "," + thiefApp, "MAIA_AGENT_IDS": agentID + "," + thiefID}, false,
			false},
		"configured, the thief is listed":   {map[string]string{only: thiefApp, "MAIA_AGENT_IDS": thiefID}, true, false},
		"the victim's app is gone":          {map[string]string{only: thiefApp, "MAIA_AGENT_IDS": agentID + "," + thiefID}, true, true},
		"the victim's app is gone, no list": {map[string]string{only: thiefApp, "MAIA_AGENT_IDS": ""}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDeputyWorld(t)
				victim := deputyApp(appID, agentID, victimClient, victimSecret)
				if test.served {
					if status, said, stored := w.call(map[string]string{only: appID}, victim); status != http.StatusOK {
						t.Fatal(said)
					} else {
						victim.Secrets[0].Value = stored[appID]
					}
				}
				victim.Replicas = 0
				apps := []containerapps.Spec{deputyApp(thiefApp, strings.ToUpper(agentID), victimClient, "a-guess-of-the-thief")}
				if !test.gone {
					apps = append(apps, victim)
				}
				live := w.maia.LiveSecret(agentID)
				for range 2 {
					status, said, stored := w.call(test.settings, apps...)
					if status == http.StatusOK || stored[thiefApp] != "a-guess-of-the-thief" || w.maia.LiveSecret(agentID) != live {
						t.Errorf("that is no failure, or the thief's app was changed, or the victim's secret: %s", said)
					}
					w.mustNotLeak(said)
				}
			})
		})
	}
}
