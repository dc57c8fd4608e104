package house

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/docstest"
)

const module = "github.com/maia-rotate/maia-rotate/"

// What the libraries of a cloud are called.
var (
	amazon     = []string{"github.com/aws/"}
	azure      = []string{"github.com/Azure/"}
	google     = []string{"cloud.google.com/", "google.golang.org/api/", "github.com/GoogleCloudPlatform/"}
	kubernetes = []string{"k8s.io/", "sigs.k8s.io/", "helm.sh/"}
)

// Which packages of this module, and of others, a room may import. Rooms are folders with what is below them; where several fit, the
// longest counts. The standard library is open to all, and so is what lies in the same room.
var mayImport = []struct {
	room  string
	other []string
}{
	{"pkg/maia", []string{"golang.org/x/oauth2"}},
	{"pkg/maia/maiatest", []string{module + "pkg/maia"}},
	{"pkg/rotate", []string{module + "pkg/maia"}},
	{"pkg/rotate/rotatetest", []string{module + "pkg/maia", module + "pkg/rotate"}},
	{"pkg/rotate/ecs", slices.Concat(amazon, []string{module + "pkg/maia", module + "pkg/rotate", "github.com/tidwall/"})},
	{"pkg/rotate/containerapp", slices.Concat(azure, []string{module + "pkg/maia", module + "pkg/rotate"})},
	{"pkg/rotate/helmrelease",
		slices.Concat(kubernetes, []string{module + "pkg/maia", module + "pkg/rotate", "github.com/tidwall/", "go.yaml.in/"})},
	{"internal/emulator", []string{module + "internal/process"}},
	{"internal/emulator/awstest", slices.Concat(amazon, []string{module + "internal/emulator"})},
}

// What a function may not link, not even by way of what it imports.
var mustNotLink = []struct {
	function string
	never    []string
}{
	{"functions/aws-lambda", slices.Concat(azure, google, kubernetes)},
	{"functions/azure", slices.Concat(amazon, google, kubernetes)},
	{"functions/gcp", slices.Concat(amazon, azure)},
}

// broken are imports that a rule forbids and that stay, each with its reason.
var broken = []struct{ from, to, why string }{
	{"internal/emulator/googleapis", "cloud.google.com/go/functions/apiv2/functionspb", "the wire is this protocol buffer"},
	{"internal/emulator/googleapis", "google.golang.org/api/cloudscheduler/v1", "Google's types of the answer; the client itself is not used"},
	{"internal/emulator/googleapis", "google.golang.org/api/container/v1", "the same"},
	{"internal/emulator/googleapis", "google.golang.org/protobuf/encoding/protojson", "the form of these buffers on the wire"},
	{"internal/emulator/iam", "internal/iampolicy", "policies are evaluated by one piece of code, which knows neither side"},
	{"internal/emulator/lambdaapi", "internal/iampolicy", "the same"},
}

func TestImportsKeepToTheirRooms(t *testing.T) {
	used := make([]bool, len(broken))
	for from, imports := range graph(t) {
		from, ours := strings.CutPrefix(from, module)
		if !ours {
			continue
		}
		room := -1
		for i, rule := range mayImport {
			if below(from, []string{rule.room}) && (room < 0 || len(rule.room) > len(mayImport[room].room)) {
				room = i
			}
		}
		if room < 0 {
			continue
		}
		rule := mayImport[room]
		for _, to := range imports {
			standard := !strings.Contains(strings.Split(to, "/")[0], ".")
			same := strings.HasPrefix(to+"/", module+rule.room+"/")
			if standard || same || slices.ContainsFunc(rule.other, func(prefix string) bool { return strings.HasPrefix(to, prefix) }) {
				continue
			}
			known := slices.IndexFunc(broken, func(b struct{ from, to, why string }) bool {
				return b.from == from && b.to == strings.TrimPrefix(to, module)
			})
			if known >= 0 {
				used[known] = true
				continue
			}
			t.Errorf("%s imports %s: what lies in %s may not", from, to, rule.room)
		}
	}
	for i, exception := range broken {
		if !used[i] {
			t.Errorf("%s does not import %s any more", exception.from, exception.to)
		}
	}
}

func TestFunctionsLinkNoOtherCloud(t *testing.T) {
	imports := graph(t)
	for _, rule := range mustNotLink {
		var linked []string
		queue := []string{module + rule.function}
		for len(queue) > 0 {
			next := queue[0]
			queue = queue[1:]
			if slices.Contains(linked, next) {
				continue
			}
			linked = append(linked, next)
			queue = append(queue, imports[next]...)
			if slices.ContainsFunc(rule.never, func(prefix string) bool { return strings.HasPrefix(next, prefix) }) {
				t.Errorf("%s links %s", rule.function, next)
			}
		}
	}
}

// graph is what each package of this module imports, and each package that it needs, without tests.
func graph(t *testing.T) map[string][]string {
	t.Helper()
	format := `{{.ImportPath}} {{join .Imports " "}}`
	list := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-deps", "-f", format, "./...")
	list.Dir = docstest.Root(t)
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		imports[fields[0]] = fields[1:]
	}
	return imports
}
