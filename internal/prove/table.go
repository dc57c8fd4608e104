package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/emulator/googleapis"
)

// table is what came of each quirk.
type table struct {
	mu   sync.Mutex
	seen map[string][]tally // by the quirk's full name, in the order of the clouds
}

// tally is what came of a quirk in a cloud, in the scenarios that had no other.
type tally struct {
	cloud        string
	played, kept int
}

// elsewhere are the quirks of services that no world of this command has: the function on Google Cloud is given its cluster here.
func elsewhere() []named { return quirksOf(onGoogle, googleapis.Quirks()) }

// whereElse are the tests that play them.
const whereElse = "functions/gcp/rotation"

// all are the quirks of every service, in the order of the table.
func allQuirks() (all []named) {
	for _, in := range clouds() {
		all = append(all, in.quirks()...)
	}
	return slices.Concat(all, elsewhere(), maiasQuirks())
}

// take counts the results of a cloud.
func (t *table) take(cloud string, results []result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[string][]tally{}
	}
	for _, r := range results {
		if len(r.quirks) != 1 {
			continue
		}
		name := r.quirks[0].String()
		i := slices.IndexFunc(t.seen[name], func(one tally) bool { return one.cloud == cloud })
		if i < 0 {
			i = len(t.seen[name])
			t.seen[name] = append(t.seen[name], tally{cloud: cloud})
		}
		one := &t.seen[name][i]
		if one.played++; len(r.broken) == 0 {
			one.kept++
		}
	}
}

func (t *table) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.seen)
}

func (t *table) played() bool { return t.count() > 0 }

func (t *table) String() string {
	var text strings.Builder
	text.WriteString("| service | quirk | behaviour | source | expected | seen |\n|---|---|---|---|---|---|\n")
	for _, q := range allQuirks() {
		fmt.Fprintf(&text, "%s %s |\n", q.row(), t.outcome(q))
	}
	return text.String()
}

// row is what the table says of a quirk, whatever came of it.
func (n named) row() string {
	expected := "rotated, and back"
	if n.Refused != "" {
		expected = "refused: `" + n.Refused + "`"
	}
	return fmt.Sprintf("| %s | `%s` | %s | %s | %s |", titles[n.service], n.Name, n.Behaviour, n.Source, expected)
}

// outcome is what came of a quirk.
func (t *table) outcome(q named) string {
	if slices.Contains(elsewhere(), q) {
		return "as expected, in the tests of `" + whereElse + "` alone"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tallies := slices.SortedFunc(slices.Values(t.seen[q.String()]), func(a, b tally) int { return strings.Compare(a.cloud, b.cloud) })
	if len(tallies) == 0 {
		return "not played in this run"
	}
	var texts []string
	for _, one := range tallies {
		texts = append(texts, fmt.Sprintf("%s %d of %d", one.cloud, one.kept, one.played))
	}
	text := "as expected: " + strings.Join(texts, ", ")
	if times := hurried[q.String()]; times > 1 {
		text += fmt.Sprintf(" (%d times as fast)", times)
	}
	return text
}
