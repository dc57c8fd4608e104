package azure

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/sandboxtest"
)

// rotated does to the world what a rotation does, without a function.
func rotated(w *World) {
	w.Maia.FinishTasks(sandbox.AgentID)
	w.Maia.ConsoleRefresh(sandbox.AgentID)
	w.Apps.SetSecret(App, Secret, w.Maia.LiveSecret(sandbox.AgentID))
	restarted(w)
}

// restarted restarts the app and waits until its new replicas are there.
func restarted(w *World) {
	back := make(chan struct{}, Replicas)
	w.Journal.Listen(func(e sandbox.Event) {
		if e.Name == "connected" || e.Name == "login-refused" {
			back <- struct{}{}
		}
	})
	w.Apps.RestartAll(App)
	for range Replicas {
		<-back
	}
}

// TestProofsCatch breaks one thing at a time: the proofs must see it. The function is never called, so that the custom role
// is one that nobody needs, in all of them.
func TestProofsCatch(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	const (
		refused   = "Maia refuses the old secret"
		accepted  = "Maia accepts the stored one"
		same      = "the app holds exactly what Maia holds"
		reference = "the reference to Key Vault is one still"
		untouched = "every other secret, tags, template, and the other app are untouched"
		restart   = "every active revision was restarted"
		fresh     = "every replica runs with the new secret"
		connected = "the runner is connected"
		resumed   = "the runner is resumed"
		unlost    = "no pipeline was lost"
		role      = "the custom role of deploy/azure suffices, and each of its 6 actions was needed"
		blobs     = "in blob storage it needed no more than to read and write blobs, and to make the container"
		unleaked  = "no secret leaked into output, answers, blobs, or what the app shows"
	)
	for name, test := range map[string]struct {
		do     func(w *World, printed *bytes.Buffer)
		broken []string
	}{
		"nothing broken": {func(w *World, _ *bytes.Buffer) { rotated(w) }, nil},
		"not rotated":    {func(w *World, _ *bytes.Buffer) {}, []string{refused, restart}},
		"not stored": {func(w *World, _ *bytes.Buffer) {
			w.Maia.FinishTasks(sandbox.AgentID)
			w.Maia.ConsoleRefresh(sandbox.AgentID)
			restarted(w)
		}, []string{accepted, same, fresh, connected, resumed}},
		"not restarted": {func(w *World, _ *bytes.Buffer) {
			w.Maia.FinishTasks(sandbox.AgentID)
			w.Maia.ConsoleRefresh(sandbox.AgentID)
			w.Apps.SetSecret(App, Secret, w.Maia.LiveSecret(sandbox.AgentID))
		}, []string{restart, fresh, connected, resumed}},
		"another client": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Apps.SetSecret(App, clientIDSecret, "another")
		}, []string{accepted, same, untouched}},
		"another secret changed": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Apps.SetSecret(App, otherSecret, "another")
		}, []string{untouched}},
		"a reference that has become a value": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Apps.SetSecret(App, vaultSecret, "what the vault held")
		}, []string{reference, untouched}},
		"a secret too many": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Apps.SetSecret(App, "new", "another")
		}, []string{untouched}},
		"the other app changed": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Apps.SetSecret(otherApp, Secret, "another")
		}, []string{untouched}},
		"the other app restarted": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Apps.RestartAll(otherApp)
		}, []string{untouched}},
		"a replica lost": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Apps.Scale(App, 1)
		}, []string{untouched, fresh, connected}},
		"left paused": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Maia.ConsolePause(sandbox.AgentID, sandbox.PipelineTime)
			w.Maia.SetStatus(sandbox.AgentID, "paused")
		}, []string{resumed}},
		"a pipeline lost": {func(w *World, _ *bytes.Buffer) {
			w.Maia.SetRunningTasks(sandbox.AgentID, 1)
			w.Maia.ConsoleRefresh(sandbox.AgentID)
			rotated(w)
		}, []string{unlost}},
		"old secret printed": {func(w *World, printed *bytes.Buffer) {
			printed.WriteString("the secret was " + w.Maia.LiveSecret(sandbox.AgentID) + "!")
			rotated(w)
		}, []string{unleaked}},
		"new secret in a blob": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.State.Put(StateContainer, blob, `{"applied":"`+w.Maia.LiveSecret(sandbox.AgentID)+`"}`)
		}, []string{unleaked}},
		"another secret in an answer": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Keep([]byte(w.Apps.Secret(App, otherSecret).Value))
		}, []string{unleaked}},
		"a token printed": {func(w *World, printed *bytes.Buffer) {
			rotated(w)
			for secret, what := range w.Guarded.Known() {
				if strings.Contains(what, "token for blob storage") {
					printed.WriteString(secret)
				}
			}
		}, []string{unleaked}},
		"a blob service that is asked for something else": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			response, err := http.Get(w.StateURL + "/?comp=list")
			if err != nil {
				panic(err)
			}
			_ = response.Body.Close()
		}, []string{blobs}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := New(t.Context(), Options{App: build(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			var printed bytes.Buffer
			test.do(w, &printed)
			broken := sandboxtest.Broken(t, w.Proofs(&printed))
			i := slices.Index(broken, role)
			if i < 0 {
				t.Fatal("a role that was never needed is taken for one that was")
			}
			if broken = slices.Delete(broken, i, i+1); !slices.Equal(broken, test.broken) {
				t.Errorf("broken are %q, expected %q", broken, test.broken)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	allowed := []string{"a/read", "a/write"}
	for name, test := range map[string]struct {
		calls         []wire.Call
		missing, idle []string
	}{
		"as allowed": {[]wire.Call{{Action: "a/write"}, {Action: "a/read"}, {Action: "a/read"}}, nil, nil},
		"none":       {nil, nil, allowed},
		"one too few": {[]wire.Call{{Action: "a/read"}, {Action: "a/delete"}, {Action: "a/delete"}, {Action: "a/write"}},
			[]string{"a/delete"}, nil},
		"one too many": {[]wire.Call{{Action: "a/read"}}, nil, []string{"a/write"}},
		"without a token": {[]wire.Call{{Action: "a/read", Operation: "read", Status: http.StatusUnauthorized}, {Action: "a/write"}},
			[]string{"a valid token for read"}, nil},
		"not one of these": {[]wire.Call{{Action: "a/read"}, {Action: "a/write"}, {Operation: "GET", Resource: "/x"}}, []string{"GET /x"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			missing, idle := compare(test.calls, allowed)
			if !slices.Equal(missing, test.missing) || !slices.Equal(idle, test.idle) {
				t.Errorf("missing %q, never needed %q", missing, idle)
			}
		})
	}
}

func TestRoleActions(t *testing.T) {
	actions, err := roleActions()
	if err != nil || len(actions) != 6 || !slices.Contains(actions, "Microsoft.App/containerApps/listSecrets/action") {
		t.Errorf("%q, %v", actions, err)
	}
}
