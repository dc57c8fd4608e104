package rotation

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The thief has a runner in a release of their own, which they may upgrade as they like.
const (
	thiefID      = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	thiefClient  = "client-of-the-thief"
	victimClient = "client-of-the-victim"
	victimSecret = "the-first-secret-of-the-victim"
	thiefGuess   = "a-guess-of-the-thief"
)

// deputyRelease is a Helm release of a runner, as it is in the cluster.
type deputyRelease struct {
	namespace, agent, client, secret string
	note                             string // in the annotation of its Lease; empty: there is no Lease
	down                             bool   // scaled to zero
}

// deputyCluster is an API server that answers reads of the releases, and records writes without carrying them out.
type deputyCluster struct {
	releases []deputyRelease

	mu     sync.Mutex
	writes []string
}

func (c *deputyCluster) ServeHTTP(out http.ResponseWriter, request *http.Request) {
	object := c.find(strings.TrimPrefix(request.URL.Path, "/"))
	out.Header().Set("Content-Type", "application/json")
	if request.Method != http.MethodGet {
		var body bytes.Buffer
		_, _ = body.ReadFrom(request.Body)
		c.mu.Lock()
		c.writes = append(c.writes, request.Method+" "+request.URL.Path+" "+body.String())
		c.mu.Unlock()
		object = nil
	}
	if object == nil {
		out.WriteHeader(http.StatusNotFound)
		object = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
	}
	_ = json.NewEncoder(out).Encode(object)
}

// find is the object at a path; nil if there is none.
func (c *deputyCluster) find(path string) any {
	for _, r := range c.releases {
		meta := func(name string) map[string]any {
			return map[string]any{"name": name, "namespace": r.namespace, "resourceVersion": "7", "uid": name, "generation": 1,
				"creationTimestamp": "2026-03-01T10:00:00Z"}
		}
		base64Of := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
		switch path {
		case "api/v1/namespaces/" + r.namespace + "/secrets":
			record := meta("sh.helm.release.v1.runner.v1")
			record["labels"] = map[string]string{"owner": "helm", "name": "runner", "status": "deployed", "version": "1"}
			return map[string]any{"kind": "SecretList", "apiVersion": "v1", "metadata": map[string]any{}, "items": []any{
				map[string]any{"metadata": record, "type": "helm.sh/release.v1", "data": map[string]string{"release": base64Of(r.record())}},
			}}
		case "api/v1/namespaces/" + r.namespace + "/secrets/runner-config":
			return map[string]any{"kind": "Secret", "apiVersion": "v1", "metadata": meta("runner-config"),
				"data": map[string]string{"OAUTH_CLIENT_ID": base64Of(r.client), "OAUTH_CLIENT_SECRET": base64Of(r.secret)}}
		case "apis/apps/v1/namespaces/" + r.namespace + "/deployments/runner-app":
			return r.deployment(meta("runner-app"))
		case "apis/coordination.k8s.io/v1/namespaces/" + r.namespace + "/leases/maia-rotate-runner":
			if r.note == "" {
				return nil
			}
			lease := meta("maia-rotate-runner")
			lease["annotations"] = map[string]string{"maia-rotate/note": r.note}
			return map[string]any{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": lease, "spec": map[string]any{}}
		case "apis/apps/v1/namespaces/" + r.namespace + "/replicasets":
			return map[string]any{"kind": "ReplicaSetList", "apiVersion": "apps/v1", "metadata": map[string]any{}, "items": []any{}}
		case "api/v1/namespaces/" + r.namespace + "/pods":
			return map[string]any{"kind": "PodList", "apiVersion": "v1", "metadata": map[string]any{}, "items": []any{}}
		}
	}
	return nil
}

func (r deputyRelease) deployment(meta map[string]any) map[string]any {
	replicas := map[bool]int{true: 0, false: 1}[r.down]
	return map[string]any{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": meta,
		"spec": map[string]any{"replicas": replicas, "selector": map[string]any{"matchLabels": map[string]string{"app": "runner"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]string{"app": "runner"}},
				"spec": map[string]any{"containers": []any{map[string]any{"name": "runner", "image": "runner",
					"env": []any{map[string]string{"name": "AGENT_ID", "value": r.agent},
						map[string]string{"name": "MATILLION_REGION", "value": "eu1"}},
					"envFrom": []any{map[string]any{"secretRef": map[string]string{"name": "runner-config"}}},
				}}},
			}},
		"status": map[string]any{"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
			"readyReplicas": replicas},
	}
}

// record is the release as Helm keeps it.
func (r deputyRelease) record() string {
	deployment, _ := json.Marshal(r.deployment(map[string]any{"name": "runner-app"}))
	secret, _ := json.Marshal(map[string]any{"kind": "Secret", "apiVersion": "v1", "metadata": map[string]string{"name": "runner-config"},
		"stringData": map[string]string{"OAUTH_CLIENT_ID": r.client, "OAUTH_CLIENT_SECRET": r.secret}})
	text, _ := json.Marshal(map[string]any{
		"name": "runner", "namespace": r.namespace, "version": 1, "info": map[string]any{"status": "deployed"},
		"chart": map[string]any{"metadata": map[string]string{"apiVersion": "v2", "name": "runner", "version": "1.0.0"}},
		"config": map[string]any{"config": map[string]string{"oauthClientId": r.client, "oauthClientSecret": r.secret},
			"dpcAgent": map[string]any{"dpcAgent": map[string]any{"env": map[string]string{"agentId": r.agent, "matillionRegion": "eu1"}}}},
		"manifest": "---\n" + string(secret) + "\n---\n" + string(deployment) + "\n",
	})
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(text)
	_ = writer.Close()
	return base64.StdEncoding.EncodeToString(packed.Bytes())
}

// deputyCall plans and calls the function with these releases, while both runners are connected unless the victim is down.
func deputyCall(t *testing.T, settings map[string]string, victimDown bool, releases ...deputyRelease) (status int, said string,
	writes []string) {
	t.Helper()
	fake := maiatest.New(maiatest.WithAPICredential("api", apiSecret))
	defer fake.Close()
	fake.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: victimClient, Secret: victimSecret})
	fake.AddAgent(maiatest.AgentSpec{ID: thiefID, ClientID: thiefClient, Secret: "the-first-secret-of-the-thief"})
	if !victimDown {
		instance, err := fake.Connect(agentID, victimClient, victimSecret)
		if err != nil {
			t.Fatal(err)
		}
		defer instance.Close()
	}
	cluster := &deputyCluster{releases: releases}
	server := httptest.NewServer(cluster)
	defer server.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	content := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],` +
		`"clusters":[{"name":"x","cluster":{"server":"` + server.URL + `"}}],"users":[{"name":"x","user":{}}]}`
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KUBECONFIG": kubeconfig, "MAIA_CLIENT_ID": "api", "MAIA_CLIENT_SECRET": apiSecret}
	maps.Copy(env, settings)
	var log bytes.Buffer
	h := New(functiontest.Environ(env), &log)
	h.rotators.HTTPClient = &http.Client{Transport: fake.Transport()}
	planned, err := h.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/", nil))
	said = recorder.Body.String() + fmt.Sprintf("%+v", planned)
	if strings.Contains(said+log.String(), victimSecret) {
		t.Errorf("a secret left the function: %s", said)
	}
	if fake.LiveSecret(agentID) != victimSecret || fake.Refreshes(agentID) > 0 {
		t.Errorf("the victim's secret was refreshed: %s", said)
	}
	for _, call := range fake.Calls() {
		if call.Name == maiatest.Pause {
			t.Errorf("a runner was paused")
		}
	}
	return recorder.Code, said, cluster.writes
}

// servedNote is the Lease of a release that was served for an agent before.
func servedNote(agent string) string {
	mark := maia.NewSecret("the-first-secret-of-the-thief").Fingerprint()
	note, _ := json.Marshal(map[string]any{"agent": agent, "applied": mark,
		"rotated": map[string]any{"at": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "over": "0123456789ab", "new": mark}})
	return string(note)
}

// TestConfusedDeputy: a thief whose release names another runner's agent does not get that runner's secret, and cannot have it refreshed or
// paused: by healing, by a rotation or by a plan, however the releases are listed and the ID is written, and whether the thief's was
// served before or not. Nothing is written to either release.
func TestConfusedDeputy(t *testing.T) {
	const victims, thiefs = "namespaces/victim/releases/runner", "namespaces/thief/releases/runner"
	configurations := map[string]map[string]string{
		"both, both are listed":             {"MAIA_HELM_RELEASES": victims + "," + thiefs, "MAIA_AGENT_IDS": agentID + "," + thiefID},
		"both, the victim is listed":        {"MAIA_HELM_RELEASES": victims + "," + thiefs, "MAIA_AGENT_IDS": agentID},
		"the thief's, both are listed":      {"MAIA_HELM_RELEASES": thiefs, "MAIA_AGENT_IDS": agentID + "," + thiefID},
		"the thief's, the thief is listed":  {"MAIA_HELM_RELEASES": thiefs, "MAIA_AGENT_IDS": thiefID},
		"the thief's, no list":              {"MAIA_HELM_RELEASES": thiefs},
		"the thief's, rotated at each call": {"MAIA_HELM_RELEASES": thiefs, "MAIA_ROTATE_EVERY": "1h"},
	}
	scenarios := 0
	for _, name := range slices.Sorted(maps.Keys(configurations)) {
		for _, note := range []string{"", servedNote(thiefID)} {
			for _, spelled := range []string{agentID, strings.ToUpper(agentID)} {
				for _, client := range []string{thiefClient, victimClient} {
					scenarios++
					t.Run(fmt.Sprintf("%s/served before %t/%s/%s", name, note != "", spelled[:8], client), func(t *testing.T) {
						status, said, writes := deputyCall(t, configurations[name], false,
							deputyRelease{namespace: "victim", agent: agentID, client: victimClient, secret: victimSecret},
							deputyRelease{namespace: "thief", agent: spelled, client: client, secret: thiefGuess, note: note})
						refusals := []string{"which this function may not serve", "can be the runner of one of them only", "credentials of client",
							"were never seen to agree"}
						refused := slices.ContainsFunc(refusals, func(words string) bool { return strings.Contains(said, words) })
						if status != http.StatusInternalServerError || !refused || len(writes) > 0 {
							t.Errorf("%d: %s\nwritten were %q", status, said, writes)
						}
					})
				}
			}
		}
	}
	t.Logf("%d scenarios", scenarios)
}

// TestConfusedDeputyWhileTheVictimIsDown: the store of a runner that is down is repaired if it lacks Maia's secret; but not if
// the agent is not listed, or is another release's too.
func TestConfusedDeputyWhileTheVictimIsDown(t *testing.T) {
	const victims, thiefs = "namespaces/victim/releases/runner", "namespaces/thief/releases/runner"
	for name, settings := range map[string]map[string]string{
		"both, both are listed":            {"MAIA_HELM_RELEASES": victims + "," + thiefs, "MAIA_AGENT_IDS": agentID + "," + thiefID},
		"the thief's, the thief is listed": {"MAIA_HELM_RELEASES": thiefs, "MAIA_AGENT_IDS": thiefID},
	} {
		t.Run(name, func(t *testing.T) {
			status, said, writes := deputyCall(t, settings, true,
				deputyRelease{namespace: "victim", agent: agentID, client: victimClient, secret: victimSecret, down: true},
				deputyRelease{namespace: "thief", agent: strings.ToUpper(agentID), client: victimClient, secret: thiefGuess, note: servedNote(thiefID)})
			if status != http.StatusInternalServerError || len(writes) > 0 {
				t.Errorf("%d: %s\nwritten were %q", status, said, writes)
			}
		})
	}
}
