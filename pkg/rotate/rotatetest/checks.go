package rotatetest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// pollInterval is the engine's.
const pollInterval = 2 * time.Second

// snapshot is what a run that says "nothing changed" must have left alone.
type snapshot struct {
	stored    maia.Credentials
	instances string
	refreshes int
	agent     maia.Agent
}

func (w *world) read() snapshot {
	s := snapshot{stored: w.platform.Stored(), refreshes: w.maia.Refreshes(agentID), agent: w.agent()}
	for _, instance := range w.running() {
		s.instances += fmt.Sprintf("%p ", instance)
	}
	return s
}

// agent is the runner as Maia shows it.
func (w *world) agent() maia.Agent {
	agent, err := w.inspector.Agent(w.t.Context(), agentID)
	if err != nil {
		w.failf("the agent cannot be read: %v", err)
	}
	if len(w.quirks.maia) > 0 {
		agent.Status, agent.Connected = w.maia.Actual(agentID)
	}
	return agent
}

func paused(agent maia.Agent) bool {
	return agent.Status == maia.StatusPaused || agent.Status == maia.StatusPausing
}

// check checks what must be true after every run that was not cut off.
func (w *world) check(r *run) {
	now := w.read()
	var typed *rotate.Error
	if r.err != nil && !errors.As(r.err, &typed) {
		w.broken(9, "the error is no *rotate.Error: %v", r.err)
		return
	}
	if typed != nil && (typed.State == rotate.Unchanged || typed.State == rotate.NotObserved) && !w.overlap {
		w.checkUnchanged(r, typed.State, now)
	}
	if r.err == nil && r.observed() {
		w.checkBack(r, now)
	}
	if !w.overlap {
		w.checkReport(r, now)
	}
	w.checkDowntime(r)
	if foreign := w.platform.Foreign(); foreign != w.foreign {
		w.broken(8, "what is not ours was changed:\n%s\nit was\n%s", foreign, w.foreign)
		w.foreign = foreign
	}
}

// reread reports whether the run has read all that matters after what another writer did meanwhile: what happens after the
// last read of a run is the next one's to find.
func (r *run) observed() bool {
	f := r.process.fault
	if f == nil || !f.foreign || f.injected == 0 {
		return true
	}
	calls := r.process.made()
	return r.lastObservation >= f.at && slices.ContainsFunc(calls[r.lastObservation:],
		func(c Call) bool { return c.Name == maiaGetCredentials })
}

// checkReport: what counts as a rotation was one, and a refresh is reported.
func (w *world) checkReport(r *run, now snapshot) {
	sent := slices.ContainsFunc(r.process.made(), func(c Call) bool { return c.Name == maiaRefresh })
	refreshed := sent && now.refreshes > r.before.refreshes
	if r.report.Refreshed && !refreshed || r.err == nil && !r.report.Refreshed && refreshed {
		w.broken(2, "the report says refreshed %t, and a refresh was carried out: %t", r.report.Refreshed, refreshed)
	}
	if r.report.Outcome != rotate.Rotated {
		return
	}
	if w.rotated++; w.rotated > now.refreshes {
		w.broken(6, "%d runs reported %q, and %d refreshes of ours were carried out", w.rotated, rotate.Rotated, now.refreshes)
	}
}

// checkUnchanged: a failure up to the refresh changes nothing, and says so. A pause that an earlier run has left may have
// been taken back.
func (w *world) checkUnchanged(r *run, state rotate.State, now snapshot) {
	was := r.before
	if now.refreshes != was.refreshes || !now.stored.Equal(was.stored) || now.instances != was.instances {
		w.broken(3, "the error says %q, but: refreshed %t, store changed %t, instances replaced %t; %v",
			state, now.refreshes != was.refreshes, !now.stored.Equal(was.stored), now.instances != was.instances, r.err)
	}
	if paused(now.agent) && !paused(was.agent) && w.operatorUntil().IsZero() {
		w.broken(3, "the error says %q, but the runner was left paused; %v", state, r.err)
	}
	if time.Now().Before(w.operatorUntil()) {
		w.checkPause(8, "after an error ", now.agent)
	}
}

// checkBack: no error means that the runner is back.
func (w *world) checkBack(r *run, now snapshot) {
	live := w.maia.LiveSecret(agentID)
	if now.stored.ClientSecret.Reveal() != live || now.stored.ClientID != clientID {
		w.broken(5, "no error, but the store does not hold what Maia holds")
	}
	w.checkInstances(5, "no error, but ")
	if !w.overlap && !w.concurrent(r) {
		w.checkPause(5, "no error, but ", now.agent)
	}
	if r.report.DownSince != nil {
		w.broken(4, "no error, but the report says that the runner is down since %s", r.report.DownSince)
	}
}

func (w *world) checkInstances(promise int, but string) {
	if len(w.quirks.platform) > 0 {
		if !w.enoughWork() {
			w.broken(promise, "%sless than %d instances are logged in with what Maia holds", but, w.wanted)
		}
		return
	}
	live, running := w.maia.LiveSecret(agentID), w.running()
	if len(running) == 0 {
		w.broken(promise, "%sno instance runs", but)
	}
	for i, instance := range running {
		switch {
		case instance.secret != live:
			w.broken(promise, "%sinstance %d of %d runs with a secret that was revoked", but, i+1, len(running))
		case !instance.connected():
			w.broken(promise, "%sinstance %d of %d is not connected", but, i+1, len(running))
		}
	}
}

// checkPause: the runner works, or is paused by an operator, as long as he said.
func (w *world) checkPause(promise int, but string, agent maia.Agent) {
	switch until := w.operatorUntil(); {
	case time.Now().Before(until):
		if agent.Status != maia.StatusPaused || !agent.PausedUntil.Equal(until) {
			w.broken(8, "%sthe operator's pause until %s is gone: status %q, until %s", but, until, agent.Status, agent.PausedUntil)
		}
	case agent.Status != maia.StatusRunning:
		w.broken(promise, "%sthe status is %q", but, agent.Status)
	}
}

// concurrent reports whether the run is one that heals and may leave a pause of ours alone: for as long as a rotation can take it
// cannot know whether the run that paused is still at work.
func (w *world) concurrent(r *run) bool {
	p := policy()
	rotation := p.DrainTimeout + maia.RefreshTimeout + 20*time.Second + p.ConnectTimeout // until connected, at most
	return r.mode == rotate.Heal && r.note.Paused != nil && r.ended.Before(r.note.Paused.At.Add(rotation))
}

// checkDowntime: the reported downtime lasts from the sending of the refresh until the run saw the runner back. It is no
// shorter than it was for Maia: from the call to the first instance that logged in. And no longer than until the
// connection showed there and the runner's own instances were steady, and one polling interval more; if another run
// noted the intent, it counts from that note; if calls failed in between, until the end of the run.
func (w *world) checkDowntime(r *run) {
	downtime := r.report.Downtime
	if downtime == 0 || w.console > 0 {
		return
	}
	w.mu.Lock()
	sent, back := w.refresh, time.Time{}
	for _, instance := range w.instances {
		if instance.login != nil && instance.started.After(sent) && (back.IsZero() || instance.started.Before(back)) {
			back = instance.started
		}
	}
	w.mu.Unlock()
	from, until := sent, back.Add(w.lag)
	if r.settled.After(until) {
		until = r.settled
	}
	if until = until.Add(pollInterval); r.process.fault != nil || w.overlap || len(w.quirks.all()) > 0 {
		until = r.ended
	}
	if !r.report.Refreshed {
		from = sent.Add(-time.Minute) // no platform takes longer to note an intent
	}
	if low, high := back.Sub(sent), until.Sub(from)+time.Second; downtime < low || downtime > high {
		w.broken(4, "the reported downtime is %s, measured were %s, and it may be %s at most", downtime, low, high)
	}
}

// finish checks what must be true when everything is done, and that one more run finds nothing to do. It waits for what
// is left of processes that were cut off.
func (w *world) finish() {
	for _, r := range w.runs {
		<-r.done
	}
	if stored := w.platform.Stored(); stored.ClientSecret.Reveal() != w.maia.LiveSecret(agentID) || stored.ClientID != clientID {
		w.broken(1, "in the end the store does not hold what Maia holds")
	}
	if platform, ok := w.platform.(Whole); ok {
		if wrong := platform.Whole(); wrong != "" {
			w.broken(1, "in the end the store is not whole: %s", wrong)
		}
	}
	w.checkInstances(1, "in the end ")
	w.checkPause(8, "in the end ", w.agent())
	w.checkRefreshes(w.due)

	last := w.run(rotate.Rotate)
	switch {
	case last.err != nil:
		w.broken(1, "in the end one more run fails: %v", last.err)
	case last.report.Outcome != rotate.NoOp || len(last.wrote) > 0:
		w.broken(2, "in the end one more run finds something to do: outcome %q, wrote %v", last.report.Outcome, last.wrote)
	}
	if note := last.note; note.Intent != nil || note.Paused != nil || note.Applied != fingerprint(w.maia.LiveSecret(agentID)) {
		w.broken(1, "in the end the note is %s", describe(note))
	}
	w.checkRefreshes(w.due)
	if lost := w.maia.Lost(agentID); lost > 0 && w.console == 0 {
		w.broken(3, "%d pipelines were running when the secret was revoked", lost)
	}
	w.checkLeaks()
}

// operatorUntil is until when an operator has paused the runner.
func (w *world) operatorUntil() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.operator
}

func (w *world) checkRefreshes(want int) {
	if got := w.maia.Refreshes(agentID); got != want {
		w.broken(2, "%d refreshes were carried out, want %d", got, want)
	}
}

func fingerprint(secret string) maia.Fingerprint { return maia.NewSecret(secret).Fingerprint() }

func describe(note rotate.Note) string {
	text := fmt.Sprintf("applied %q", note.Applied)
	if note.Intent != nil {
		text += fmt.Sprintf(", intent %+v", *note.Intent)
	}
	if note.Paused != nil {
		text += fmt.Sprintf(", paused %+v", *note.Paused)
	}
	if note.LastRotation != nil {
		text += fmt.Sprintf(", rotated %+v", *note.LastRotation)
	}
	return text
}

// checkLeaks searches all that left the processes, and what the platform keeps, for every secret that there ever was: the
// beginning and the end of it, in clear and as Base64.
func (w *world) checkLeaks() {
	kept := w.platform.Kept()
	w.mu.Lock()
	defer w.mu.Unlock()
	secrets := append(w.maia.Revoked(agentID), w.maia.LiveSecret(agentID))
	for secret := range w.secrets {
		secrets = append(secrets, secret)
	}
	for _, searched := range []struct{ where, text string }{
		{"a log, error, report or detail of the instances", w.texts.String()},
		{"what the platform keeps apart from the store", kept},
	} {
		if slices.ContainsFunc(secrets, func(secret string) bool { return shows(searched.text, secret) }) {
			w.failures = append(w.failures, fmt.Sprintf("promise 7 (%s): a secret is in %s", promises[7], searched.where))
		}
	}
}

func shows(text, secret string) bool {
	return slices.ContainsFunc(pieces(secret), func(piece string) bool { return strings.Contains(text, piece) })
}

// pieces are the texts by which a secret is recognized.
func pieces(secret string) []string {
	const enough = 12 // characters, of which none is there by chance
	all := []string{secret[:min(enough, len(secret))], secret[max(0, len(secret)-enough):]}
	for shift := range 3 { // where in a longer text it may begin
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + secret))
		all = append(all, encoded[4:len(encoded)-4])
	}
	return all
}
