package rotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"

	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The thief has a runner and a secret of their own. They may read and write the secret, and edit the runner's task definition.
const (
	thiefID     = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	thiefClient = "client-of-the-thief"
)

// deputyWorld is a world with a thief's runner in the same cluster.
type deputyWorld struct {
	*world
	thief string // ARN of the thief's secret
}

func newDeputyWorld(t *testing.T) *deputyWorld {
	w := &deputyWorld{world: newWorld(t, rotateOnce)}
	w.maia.AddAgent(maiatest.AgentSpec{ID: thiefID, ClientID: thiefClient, Secret: "the-first-secret-of-the-thief"})
	w.thief = w.secrets.AddSecret("thief", `{"client_id":"`+thiefClient+`","client_secret":"the-first-secret-of-the-thief"}`)
	w.register(thiefID)
	w.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "thief", TaskDefinition: "thief", DesiredCount: 1})
	time.Sleep(10 * time.Minute)
	return w
}

// register makes a task definition of the thief's runner that names an agent.
func (w *deputyWorld) register(agent string) (arn string) {
	container := runnerContainer(w.thief)
	container.Environment["AGENT_ID"] = agent
	return w.ecs.RegisterTaskDefinition("thief", container)
}

// edit makes the thief's runner name another agent, and the thief's secret another client, if one is given.
func (w *deputyWorld) edit(agent, client string) {
	w.t.Helper()
	definition := w.register(agent)
	if _, err := w.handler().ecs.UpdateService(w.t.Context(),
		&awsecs.UpdateServiceInput{Cluster: aws.String("matillion"), Service: aws.String("thief"), TaskDefinition: &definition}); err != nil {
		w.t.Fatal(err)
	}
	if client != "" {
		w.secrets.Put(w.thief, `{"client_id":"`+client+`","client_secret":"a-guess-of-the-thief"}`)
	}
}

// mustKeep checks that the thief got nothing of the other runner, and that it is unchanged.
func (w *deputyWorld) mustKeep() {
	w.t.Helper()
	if live := w.maia.LiveSecret(agentID); live != firstSecret || w.maia.Refreshes(agentID) > 0 {
		w.t.Errorf("the other runner's secret was refreshed")
	}
	for _, version := range w.secrets.Versions(w.thief) {
		if text, err := w.secrets.Value(w.thief, "", version.ID); err == nil && strings.Contains(text, firstSecret) {
			w.t.Errorf("the other runner's secret is in the thief's, as %v", version.Stages)
		}
	}
	if w.current() != document || !w.agent().Connected || w.maia.Lost(agentID) > 0 {
		w.t.Errorf("the other runner is not as it was")
	}
	w.mustNotLeak()
}

// TestConfusedDeputy: a thief whose task definition names another runner's agent does not get that runner's secret, and cannot have it
// refreshed or paused: by a rotation, by healing or by a plan, however the runners are found and listed and the ID is written, and
// whether the thief's runner was served before or not.
func TestConfusedDeputy(t *testing.T) {
	const services = "MAIA_ECS_SERVICES="
	configurations := map[string][]string{
		"discovered, the victim is listed": {"MAIA_ECS_CLUSTERS=matillion", "MAIA_AGENT_IDS=" + agentID},
		"discovered, both are listed":      {"MAIA_ECS_CLUSTERS=matillion", "MAIA_AGENT_IDS=" + agentID + "," + thiefID},
		"configured, the thief is listed":  {services + "matillion/thief", "MAIA_AGENT_IDS=" + thiefID},
		"configured, both are listed": {services + "matillion/thief,matillion/runner",
			"MAIA_AGENT_IDS=" + agentID + "," + thiefID},
		"configured, only the thief's service, both are listed": {services + "matillion/thief", "MAIA_AGENT_IDS=" + agentID + "," + thiefID},
		"configured, no list":                           {services + "matillion/thief,matillion/runner"},
		"configured, only the thief's service, no list": {services + "matillion/thief"},
		"configured, only the thief's secret is served": {services + "matillion/thief,matillion/runner", "MAIA_SECRET_ARNS=*"},
	}
	triggers := map[string]func(w *deputyWorld) error{
		"rotation": func(w *deputyWorld) error {
			w.secrets.EnableRotation(w.thief, functionARN)
			w.secrets.Rotate(w.thief)
			_, err := w.secrets.WaitRotation(w.t.Context(), w.thief)
			if err == nil && len(w.errors) > 0 {
				err = fmt.Errorf("%s", w.errors[len(w.errors)-1])
			}
			return err
		},
		"healing": func(w *deputyWorld) error {
			_, err := w.act(`{"action":"heal","secret":"` + w.thief + `"}`)
			return err
		},
		"plan": func(w *deputyWorld) error {
			result, err := w.act(`{"action":"plan","secret":"` + w.thief + `"}`)
			if err == nil && result.Secrets[0].Error != nil {
				err = fmt.Errorf("%s", result.Secrets[0].Error)
			}
			return err
		},
	}
	scenarios := 0
	for _, name := range slices.Sorted(maps.Keys(configurations)) {
		for _, servedBefore := range []bool{false, true} {
			for _, spelled := range []string{agentID, strings.ToUpper(agentID)} {
				for _, client := range []string{"", clientID} {
					scenarios++
					t.Run(fmt.Sprintf("%s/served before %t/%s/client %s", name, servedBefore, spelled[:8], client), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							w := newDeputyWorld(t)
							credential := w.environ[:2]
							if servedBefore {
								w.environ = append(slices.Clone(credential), services+"matillion/thief", "MAIA_AGENT_IDS="+thiefID)
								if err := triggers["rotation"](w); err != nil || w.maia.Refreshes(thiefID) != 1 {
									t.Fatalf("the thief's own runner is not served: %v", err)
								}
							}
							w.environ = append(slices.Clone(credential), configurations[name]...)
							for i := range w.environ {
								w.environ[i] = strings.Replace(w.environ[i], "*", w.thief, 1)
							}
							w.edit(spelled, client)
							for _, trigger := range []string{"plan", "healing", "rotation", "healing"} {
								w.errors = nil
								if err := triggers[trigger](w); err == nil {
									t.Errorf("the %s is no failure", trigger)
								}
								w.mustKeep()
								time.Sleep(healEvery)
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
// the agent is not listed, or another store names it too.
func TestConfusedDeputyWhileTheVictimIsDown(t *testing.T) {
	for name, configuration := range map[string][]string{
		"discovered, both are listed":     {"MAIA_ECS_CLUSTERS=matillion", "MAIA_AGENT_IDS=" + agentID + "," + thiefID},
		"configured, the thief is listed": {"MAIA_ECS_SERVICES=matillion/thief", "MAIA_AGENT_IDS=" + thiefID},
		"configured, no list":             {"MAIA_ECS_SERVICES=matillion/thief,matillion/runner"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDeputyWorld(t)
				w.environ = append(w.environ[:2:2], configuration...)
				w.ecs.ScaleTo("matillion", "runner", 0)
				time.Sleep(10 * time.Minute)
				w.edit(agentID, clientID)
				for range 3 {
					if _, err := w.act(`{"action":"heal","secret":"` + w.thief + `"}`); err == nil {
						t.Errorf("the healing is no failure")
					}
					time.Sleep(healEvery)
				}
				for _, version := range w.secrets.Versions(w.thief) {
					if text, err := w.secrets.Value(w.thief, "", version.ID); err == nil && strings.Contains(text, firstSecret) {
						t.Errorf("the other runner's secret is in the thief's, as %v", version.Stages)
					}
				}
				if w.maia.Refreshes(agentID) > 0 || w.current() != document {
					t.Errorf("the other runner's secret was refreshed")
				}
			})
		})
	}
}

// TestConfusedDeputyTwoStoresOfOneAgent: neither of two secrets of one agent is served until only one is left.
func TestConfusedDeputyTwoStoresOfOneAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeputyWorld(t)
		w.edit(strings.ToUpper(agentID), clientID)
		for _, arn := range []string{w.thief, w.arn} {
			if _, err := w.act(`{"action":"heal","secret":"` + arn + `"}`); err == nil || !strings.Contains(err.Error(), "neither is served") {
				t.Errorf("%s: %v", arn, err)
			}
		}
		w.mustKeep()
		w.edit(thiefID, thiefClient)
		if _, err := w.act(`{"action":"heal","secret":"` + w.arn + `"}`); err != nil {
			t.Errorf("the runner is not served when it is alone: %v", err)
		}
		w.mustKeep()
	})
}
