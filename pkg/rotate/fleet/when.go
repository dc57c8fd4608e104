package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// notNow is why operators do not want the rotation of a runner that is due to begin now; empty if nothing is against it. needed is the
// time that it may take.
func (f Fleet) notNow(m *member, members []*member, needed time.Duration) string {
	switch now, window := time.Now(), f.Policy.Window; {
	case m.Healing.Held != nil:
		return m.Healing.Held.Text()
	case m.Healing.Requested != nil:
		return ""
	case !window.Fits(now, needed):
		next, ever := window.Next(now, needed)
		if !ever {
			return fmt.Sprintf("the window %s never has the %s that a rotation may take", window, needed)
		}
		return fmt.Sprintf("outside of the window %s, or too close to its end: the next call after %s rotates it", window,
			next.UTC().Format(time.RFC3339))
	}
	return f.waitsForFirst(m, members)
}

// waitsForFirst is which of those that are to be first the runner has to wait for; empty if there is none.
func (f Fleet) waitsForFirst(m *member, members []*member) string {
	if f.isFirst(m.AgentID) {
		return ""
	}
	for _, first := range members {
		if !f.isFirst(first.AgentID) {
			continue
		}
		at, _ := first.rotated()
		if at == nil || time.Since(*at) >= first.every || first.err != nil || first.down() {
			return fmt.Sprintf("%s is to be first, and is due or not back", first.Target)
		}
		if since := time.Since(*at); since < f.Soak {
			return fmt.Sprintf("%s was first, %s ago: the others follow after %s", first.Target, since.Round(time.Minute), f.Soak)
		}
	}
	return ""
}

func (f Fleet) isFirst(agentID string) bool {
	return slices.ContainsFunc(f.First, func(id string) bool { return strings.EqualFold(id, agentID) })
}

// Wish changes what operators have asked for of the runners with these agent IDs; of all, if there are none. An ID that is none of the
// runners' is an error, and nothing is changed.
func (f Fleet) Wish(ctx context.Context, targets []Target, agentIDs []string, change func(*rotate.Wishes)) (Result, error) {
	members := f.find(ctx, targets)
	for _, id := range agentIDs {
		if !slices.ContainsFunc(members, func(m *member) bool { return strings.EqualFold(m.AgentID, id) }) {
			return Result{}, rotate.Errorf(rotate.Configuration, "agent %s is none of the runners that the function serves", id).
				WithHint("maia-rotate plan lists them")
		}
	}
	members = slices.DeleteFunc(members, func(m *member) bool {
		return len(agentIDs) > 0 && !slices.ContainsFunc(agentIDs, func(id string) bool { return strings.EqualFold(m.AgentID, id) })
	})
	f.each(members, atOnce, func(m *member) {
		if m.err == nil {
			if m.err = m.runner.Wish(ctx, change); m.err == nil {
				m.Outcome = Wished
			}
		}
	})
	return resultOf(ctx, members), nil
}
