package rotation

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/runnerstate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// statesFile lists every state in which a rotation can be cut off, each with one way to reach it. The compiled function must heal them
// all, see TestTheCompiledFunctionHealsEveryState.
const statesFile = "testdata/states.golden"

func TestStatesARotationCanBeCutOffIn(t *testing.T) {
	found := map[string]string{} // state → the first way there
	calls := rotationCalls(t)
	changesFirst := slices.SortedStableFunc(slices.Values(calls), func(a, b serviceCall) int { return reads(a) - reads(b) })
	for _, killed := range []bool{true, false} {
		for _, c := range changesFirst {
			for _, fault := range c.faults() {
				if strings.Contains(fault.name, "killed") != killed {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, rotateOnce)
					fault.inject(w)
					if w.rotate() == smemulator.RotationSucceeded {
						return
					}
					state := runnerstate.Places{
						Maia: w.maia, Secrets: w.secrets, ECS: w.ecs, AgentID: agentID, SecretARN: w.arn, Cluster: "matillion", Service: "runner",
					}.State(w.agent())
					if found[state] == "" {
						found[state] = fmt.Sprintf("%s %s %d %s", c.service, c.name, c.n, fault.name)
					}
				})
			}
		}
	}
	var lines strings.Builder
	for _, state := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(&lines, "%s: %s\n", found[state], state)
	}
	if *update {
		if err := os.WriteFile(statesFile, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	if lines.String() != string(want) {
		t.Errorf("the states are\n%swant (go test -update writes them)\n%s", lines.String(), want)
	}
	t.Logf("%d states", len(found))
}

func reads(c serviceCall) int {
	for _, change := range []string{"Put", "Update", "Refresh", "Pause", "Resume"} {
		if strings.HasPrefix(strings.ToLower(c.name), strings.ToLower(change)) {
			return 0
		}
	}
	return 1
}
