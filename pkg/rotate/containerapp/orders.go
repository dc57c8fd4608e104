package containerapp

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// order is a restart of a revision that was ordered: what was seen before it, and when it was ordered, by Azure's clock; zero if
// Azure did not say.
type order struct {
	before map[string]replica
	at     time.Time
}

const (
	// dateMargin is by how much the times of two of Azure's services may differ.
	dateMargin = 5 * time.Second
	// slowest is how long Azure may take to begin a restart. After that the order counts as lost.
	slowest = 90 * time.Minute
	// wedged is the age of a restart from which on its replicas may be restarted once more, if the runner is still not back.
	wedged = 30 * time.Minute
	// maxNamed is how many replicas of a revision an order's ID names. The others are recognised by their times.
	maxNamed = 20
)

// same reports whether a replica was there before the restart, and is not just another one with its name.
func (o order) same(name string, one replica) bool {
	before, was := o.before[name]
	return was && !one.created.After(before.created)
}

// old reports whether a replica was there before the restart, and has not been restarted since. One of which Azure does not
// say when it was created is recognised by its name alone.
func (o order) old(name string, one replica) bool {
	if before, was := o.before[name]; was {
		return o.same(name, one) && one.restarts <= before.restarts
	}
	return !o.at.IsZero() && !one.created.IsZero() && one.created.Before(o.at.Add(-dateMargin)) && one.restarts == 0
}

// crashed reports whether a replica that is not ready was restarted more often than by the ordered restart.
func (o order) crashed(name string, one replica) bool {
	if o.same(name, one) {
		one.restarts -= o.before[name].restarts
	}
	return one.restarts > 1
}

// late reports whether Azure should have begun the restart long ago.
func (o order) late(now time.Time) bool { return !o.at.IsZero() && now.Sub(o.at) > slowest }

// id is the order as a note has it, by which a later process knows old replicas from new ones, also where Azure restarts
// containers in place: REVISION@WHEN, and then REPLICA=CREATED+RESTARTS of each that was there before.
func (o order) id(revision string) string {
	var text strings.Builder
	text.WriteString(revision + "@" + timeText(o.at))
	names := slices.Sorted(maps.Keys(o.before))
	for _, name := range names[:min(len(names), maxNamed)] {
		fmt.Fprintf(&text, ";%s=%s+%d", name, timeText(o.before[name].created), o.before[name].restarts)
	}
	return text.String()
}

// parseOrder reads an ID. One that is not understood says nothing.
func parseOrder(id string) (revision string, read order, ok bool) {
	parts := strings.Split(id, ";")
	revision, when, ok := strings.Cut(parts[0], "@")
	if read.at, ok = parseTime(when, ok); !ok || revision == "" {
		return "", order{}, false
	}
	read.before = map[string]replica{}
	for _, part := range parts[1:] {
		name, rest, named := strings.Cut(part, "=")
		created, count, counted := strings.Cut(rest, "+")
		restarts, err := strconv.ParseInt(count, 10, 32)
		at, ok := parseTime(created, named && counted && err == nil)
		if !ok {
			return "", order{}, false
		}
		read.before[name] = replica{created: at, restarts: int32(restarts)}
	}
	return revision, read, true
}

// unsaid stands for an unknown time.
const unsaid = "-"

func timeText(at time.Time) string {
	if at.IsZero() {
		return unsaid
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func parseTime(text string, ok bool) (time.Time, bool) {
	if !ok || text == unsaid {
		return time.Time{}, ok
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

// recall takes over the restarts in a note that stand for what the app holds: not those that were ordered before this Runner
// stored it.
func (r *Runner) recall(note rotate.Note, store maia.Credentials) {
	r.noted = map[string]order{}
	ordered := note.Ordered
	if ordered == nil || ordered.At.Equal(r.void) || ordered.For != store.ClientSecret.Fingerprint() {
		return
	}
	for _, id := range ordered.IDs {
		if revision, read, ok := parseOrder(id); ok {
			r.noted[revision] = read
		}
	}
}

// order is the restart that stands for a revision: this Runner's own, or else the one in the note.
func (r *Runner) order(revision string) (found order, was bool) {
	if found, was = r.ordered[revision]; !was {
		found, was = r.noted[revision]
	}
	return found, was
}

// since is a time at which the app held what it does, by Azure's clock; zero if none is known.
func (r *Runner) since() time.Time {
	since := r.held
	for _, one := range r.noted {
		if since.IsZero() || !one.at.IsZero() && one.at.Before(since) {
			since = one.at
		}
	}
	return since
}

// covered reports whether a restart of a revision stands for what the app holds: one that was ordered, or an operator's that
// certainly came after the value was stored.
func (r *Runner) covered(found revision) bool {
	if _, was := r.order(found.name); was {
		return true
	}
	if r.restartDue {
		return false
	}
	since := r.since()
	return !since.IsZero() && found.startedAfter(since.Add(dateMargin))
}

// owed are the revisions to restart: those without a restart that stands for what the app holds, and those that failed. If there
// are none: those that were restarted and do not come up. If there are none of these either: those that run, and that an earlier
// process restarted long ago, because the caller has seen that the runner is not back.
func (r *Runner) owed() []revision {
	var owed, failing, wedgedOnes []revision
	for _, found := range r.running() {
		state, _ := r.stateOf(found)
		switch {
		case !r.covered(found), state == rotate.Failed:
			owed = append(owed, found)
		case state == rotate.Failing:
			failing = append(failing, found)
		case state == rotate.Steady && r.wedged(found.name):
			wedgedOnes = append(wedgedOnes, found)
		}
	}
	for _, some := range [][]revision{owed, failing} {
		if len(some) > 0 {
			return some
		}
	}
	return wedgedOnes
}

// wedged reports whether the restart that stands for a revision is an earlier process's, and long ago.
func (r *Runner) wedged(revision string) bool {
	_, own := r.ordered[revision]
	one, noted := r.noted[revision]
	return !own && noted && r.now().Sub(one.at) > wedged
}

// ids are those of all restarts that stand for what the app holds.
func (r *Runner) ids() []string {
	var ids []string
	for _, found := range r.running() {
		if one, was := r.order(found.name); was {
			ids = append(ids, one.id(found.name))
		}
	}
	return ids
}
