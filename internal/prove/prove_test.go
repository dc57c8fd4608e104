package main

import (
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// worlds is how many of them live at the same time: they mostly wait.
const worlds = "16"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", worlds); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// part are some of the scenarios, by their names: the most dangerous of those that do not take minutes.
var part = map[string][]string{
	"aws": {
		"aws/Pause@createSecret#1/late",
		"aws/UpdateSecretVersionStage-runner@createSecret-paused#3/answer-lost",
		"aws/UpdateSecretVersionStage-runner@createSecret-paused#1/killed-after",
		"aws/RefreshCredentials@createSecret-paused#1/answer-lost",
		"aws/RefreshCredentials@createSecret-paused#1/killed-after",
		"aws/RefreshCredentials@createSecret-paused#1/late",
		"aws/RefreshCredentials@createSecret-paused#1/strangers",
		"aws/PutSecretValue-runner@createSecret-refreshed#1/killed-after-twice",
		"aws/PutSecretValue-runner@createSecret-refreshed#1/late",
		"aws/UpdateService-runner@finishSecret-refreshed#1/killed-before-twice",
		"aws/GetCredentials@createSecret#1/redirect-3-times",
		"aws/operator-paused/RefreshCredentials@createSecret#1/killed-after",
		"aws/story/5-runs-of-one-event@Pause",
		"aws/story/wakes-up-after-the-refresh",
		"aws/UpdateSecretVersionStage-runner@createSecret-paused#1/killed-before-twice",
		"aws/quirk/ecs-lag-back/rotation-and-healing",
		"aws/quirk/ecs-cannot-move/rotation",
		"aws/quirk/maia-paused-until-moves/rotation-and-healing",
	},
	"azure": {
		"azure/Pause@timer#1/late",
		"azure/PUT-note@timer-paused#2/answer-lost",
		"azure/renew-lease@timer-paused#1/refused",
		"azure/RefreshCredentials@timer-paused#1/answer-lost",
		"azure/RefreshCredentials@timer-paused#1/killed-after",
		"azure/RefreshCredentials@timer-paused#1/late",
		"azure/RefreshCredentials@timer-paused#1/strangers",
		"azure/PATCH-app@timer-refreshed#1/killed-after-twice",
		"azure/PATCH-app@timer-refreshed#1/late",
		"azure/POST-restart@timer-stored#1/killed-before-twice",
		"azure/GetCredentials@timer#1/redirect-3-times",
		"azure/operator-paused/RefreshCredentials@timer#1/killed-after",
		"azure/story/5-runs-on-as-many-machines@the-pause",
		"azure/story/asked-to-end-after-the-refresh",
		"azure/story/wakes-up-before-the-store-when-all-has-changed",
		"azure/story/duplicate-deputy",
		"azure/asking-for-PATCH-app@timer#1/late",
		"azure/quirk/containerapps-policy-on-secrets/rotation",
		"azure/quirk/containerapps-sibling-fails/rotation-and-healing",
		"azure/quirk/maia-paused-until-absent/rotation-and-healing",
	},
	"gcp": {
		"gcp/RefreshCredentials@paused#1/killed-after",
		"gcp/create-revision@refreshed#1/killed-after",
		"gcp/patch-Secret@refreshed#1/answer-lost",
		"gcp/story/asked-to-end-right-after-the-refresh",
		"gcp/quirk/kubernetes-quota-on-secrets/rotation",
		"gcp/quirk/kubernetes-scaled-at-the-refresh/rotation-and-healing",
		"gcp/story/wakes-up-in-the-upgrade-right-before-the-secret-is-stored-and-a-person-has-refreshed",
	},
}

func TestPartOfTheScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	for _, in := range clouds() {
		t.Run(in.name(), func(t *testing.T) {
			t.Parallel()
			if in.name() == "gcp" {
				controlplanetest.Binary(t) // else it is skipped
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // the subtests outlive the test's own
			t.Cleanup(cancel)
			if err := in.build(ctx, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(in.close)
			p, _, err := planOf(ctx, options{seed: 6}, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range part[in.name()] {
				i := slices.IndexFunc(p.scenarios, func(s scenario) bool { return s.name == name })
				if i < 0 {
					t.Errorf("there is no scenario %s", name)
					continue
				}
				t.Run(strings.TrimPrefix(name, in.name()+"/"), func(t *testing.T) {
					t.Parallel()
					if r := play(ctx, in, p.scenarios[i]); len(r.broken) > 0 {
						t.Errorf("%s\n%s", strings.Join(r.broken, "\n"), r.story)
					}
				})
			}
		})
	}
}

// The judge of a scenario must see whatever is broken.
func TestJudgeSeesWhatIsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	in := &onAWS{}
	if err := in.build(ctx, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	var broken []string
	r := play(ctx, in, scenario{name: "aws/broken", story: func(ctx context.Context, w world) error {
		if err := w.rotate(ctx); err != nil {
			return err
		}
		w.maia().ConsoleRefresh(sandbox.AgentID) // and the runner does not get it
		for range 2 {
			if err := w.rotate(ctx); err != nil { // two that were not due
				return err
			}
		}
		return nil
	}})
	broken = r.broken
	for _, words := range []string{"refreshes for the one rotation"} {
		if !slices.ContainsFunc(broken, func(text string) bool { return strings.Contains(text, words) }) {
			t.Errorf("%q is missing in %q", words, broken)
		}
	}
	if r = play(ctx, in, scenario{name: "aws/never", injects: []injection{{name: "nothing", nth: 1, kind: refused,
		times: 1}}}); !slices.ContainsFunc(r.broken, func(text string) bool { return strings.Contains(text, "there was no such call") }) {
		t.Errorf("a fault that was not injected is not reported: %q", r.broken)
	}
}

func TestPlanIsTheSameEachTime(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	calls := []call{
		{source: sandbox.FromMaia, identity: identity{name: "GetAgent"}, nth: 1},
		{source: sandbox.FromMaia, identity: identity{name: "GetAgent"}, nth: 2},
		{source: sandbox.FromMaia, identity: identity{name: "RefreshCredentials", changes: true}, phase: paused, nth: 1},
		{source: sandbox.FromSecretsManager, identity: identity{name: "PutSecretValue runner", changes: true}, phase: refreshed, nth: 1},
	}
	names := func(p plan) (names []string) {
		for _, s := range p.scenarios {
			names = append(names, s.name)
		}
		return names
	}
	one := names(singles(calls, "x/"))
	// A read: six ways, two of them twice, and five of a hostile Maia. A refresh: nine, each twice, and six. A store: nine, twice.
	if want := 6 + 2 + 5 + 18 + 6 + 18; len(one) != want {
		t.Errorf("%d scenarios, want %d: %q", len(one), want, one)
	}
	if slices.Contains(one, "x/GetAgent@#2/refused") {
		t.Error("a read that repeats another is not folded")
	}
	if sorted := slices.Compact(slices.Sorted(slices.Values(one))); len(sorted) != len(one) {
		t.Error("two scenarios have one name")
	}
	if a, b, c := names(pairs(calls, "x/", 20, 1)), names(pairs(calls, "x/", 20, 1)), names(pairs(calls, "x/", 20, 2)); !slices.Equal(a, b) ||
		slices.Equal(a, c) {
		t.Error("a sample of pairs is not determined by its seed")
	}
}

func TestFiguresThatTestsLog(t *testing.T) {
	for line, want := range map[string]row{
		"    aws_test.go:301: figure: load, AWS, staggered: requests refused: 0 of 12": {"load", "AWS, staggered: requests refused", "0 of 12"},
		"    model_test.go:39: figure: model, depth: 137":                              {"model", "depth", "137"},
		"    model_test.go:39: figure: depth: 137":                                     {},
		"    model_test.go:39: figure: 137":                                            {},
		"ok  	internal/model: model, depth: 1":                                         {},
	} {
		if got, ok := rowOf(line); ok != (want != row{}) || ok && got != want {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func TestFiguresGoBetweenTheirMarks(t *testing.T) {
	var out strings.Builder
	f := &figures{out: &out}
	f.add("model", "states", 12)
	f.add("aws", "lost", 0)
	f.add("aws", "leaks", 0)
	file := t.TempDir() + "/document.md"
	if err := os.WriteFile(file, []byte("before\n"+beginMark+"old\n"+endMark+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.write(file); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	want := "before\n" + beginMark +
		"\n| part | figure | value |\n|---|---|---|\n| aws | lost | 0 |\n| aws | leaks | 0 |\n| model | states | 12 |\n\n" + endMark + "after\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	// Without marks for the quirks there is nowhere to put those that were played.
	f.quirks.take("aws", []result{{quirks: maiasQuirks()[:1]}})
	if err := f.write(file); err == nil || !strings.Contains(err.Error(), "<!-- end of quirks -->") {
		t.Errorf("err = %v", err)
	}
	if err := os.WriteFile(file, []byte(want+beginQuirks+"old\n"+endQuirks), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.write(file); err != nil {
		t.Fatal(err)
	}
	if got, err = os.ReadFile(file); err != nil || string(got) != want+beginQuirks+"\n"+f.quirks.String()+"\n"+endQuirks {
		t.Errorf("%v\n%s", err, got)
	}
	if out.String() != "figure: model, states: 12\nfigure: aws, lost: 0\nfigure: aws, leaks: 0\n" {
		t.Errorf("printed %q", out.String())
	}
}
