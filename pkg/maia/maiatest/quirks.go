package maiatest

import (
	"fmt"
	"slices"
	"time"
)

// Quirk is a way in which the real service may behave where its reference is silent. A server plays those that it is given, see
// WithQuirk.
type Quirk struct {
	Name      string // as in a test's name, for example "paused-until-moves"
	Behaviour string // in a sentence
	Source    string // a page of the documentation, or "not documented"
	// Refused is what a rotation says that ends before the refresh because of it. Empty: the runner is rotated, and is back in the end.
	Refused string
}

const (
	movingPause = 24 * time.Hour   // from a read to the end of a pause that moves
	unsettled   = 20 * time.Second // from a login until an agent shows as it is
	flapTime    = 2 * time.Second  // connected or not, in turn
	slowPause   = 20 * time.Second // from a PAUSE until it shows
	slowAnswer  = 25 * time.Second
	limitedTime = 2 * time.Minute // for which all calls are refused
	limitedCall = 3               // the first call that is
)

// behaviour is what quirks change. The zero value is how a server behaves without any.
type behaviour struct {
	pauseEnd      func(end time.Time, read int) any // what pausedUntil shows at the nth read, nil for nothing; nil is RFC 3339 in seconds
	pauseRestarts bool                              // a login starts the time of a pause anew
	pauseLag      time.Duration
	agentLag      time.Duration
	flaps         bool
	words         bool
	agentType     string
	limits        bool
	slowReads     bool
	slowRefresh   bool
	slowCommands  bool
	lostAnswers   []Name
	secretLag     time.Duration
	secretFalls   bool
}

// playable is a quirk with what makes a server play it.
type playable struct {
	Quirk
	play func(*behaviour)
}

// Quirks returns the table of all quirks: those of pauses, of agents, of the service, of credentials.
func Quirks() []Quirk {
	var quirks []Quirk
	for _, quirk := range playables() {
		quirks = append(quirks, quirk.Quirk)
	}
	return quirks
}

func playables() []playable {
	return slices.Concat(pauseQuirks(), agentQuirks(), serviceQuirks(), credentialsQuirks())
}

// silent is a quirk that a rotation gets over, in something that the vendor's pages say nothing about.
func silent(name, behaves string, play func(*behaviour)) playable {
	return playable{Quirk{Name: name, Behaviour: behaves, Source: "not documented"}, play}
}

func pauseQuirks() []playable {
	shows := func(form func(end time.Time, read int) any) func(*behaviour) {
		return func(b *behaviour) { b.pauseEnd = form }
	}
	loses := func(name Name) func(*behaviour) {
		return func(b *behaviour) { b.lostAnswers = slices.Concat(b.lostAnswers, []Name{name}) }
	}
	return []playable{
		silent("paused-until-moves", "pausedUntil is computed anew at every read: 24 hours from then, to the nanosecond",
			shows(func(_ time.Time, read int) any {
				// No clock stands still from read to read, but that of a test may.
				return time.Now().UTC().Add(movingPause + time.Duration(read)*time.Millisecond).Format(time.RFC3339Nano)
			})),
		silent("paused-until-moves-in-seconds", "pausedUntil is computed anew at every read: 24 hours from then, in whole seconds",
			shows(func(time.Time, int) any { return time.Now().UTC().Add(movingPause).Format(time.RFC3339) })),
		silent("paused-until-absent", "a paused agent has no pausedUntil", shows(func(time.Time, int) any { return nil })),
		silent("paused-until-seconds", "pausedUntil stands still, in whole seconds",
			shows(func(end time.Time, _ int) any { return end.UTC().Format(time.RFC3339) })),
		silent("paused-until-nanoseconds", "pausedUntil stands still, to the nanosecond",
			shows(func(end time.Time, _ int) any { return end.UTC().Add(123456789).Format(time.RFC3339Nano) })),
		silent("paused-until-offset", "pausedUntil has +00:00 in place of Z",
			shows(func(end time.Time, _ int) any { return end.UTC().Format("2006-01-02T15:04:05+00:00") })),
		silent("paused-until-epoch", "pausedUntil is a number: the seconds since 1970",
			shows(func(end time.Time, _ int) any { return end.Unix() })),
		silent("paused-until-changes-on-reconnect", "a pause's time starts anew when the runner connects again",
			func(b *behaviour) { b.pauseRestarts = true }),
		silent("pause-shows-after-20s", "a PAUSE shows in the agent's status 20 seconds after it",
			func(b *behaviour) { b.pauseLag = slowPause }),
		silent("pause-answer-lost", "a PAUSE is carried out and its answer is lost", loses(Pause)),
		silent("resume-answer-lost", "a RESUME is carried out and its answer is lost", loses(Resume)),
	}
}

func agentQuirks() []playable {
	lag := func(d time.Duration) func(*behaviour) { return func(b *behaviour) { b.agentLag = d } }
	return []playable{
		silent("connected-flaps", "an agent that connects again is shown connected and not connected in turn, 2 seconds each, for 20 seconds",
			func(b *behaviour) { b.flaps = true }),
		silent("status-unknown-words", "an agent that connects again is \"provisioning\" for 10 seconds and \"draining\" for 10 more",
			func(b *behaviour) { b.words = true }),
		silent("agent-lag-5s", "reads of an agent show it as it was 5 seconds ago", lag(5*time.Second)),
		silent("agent-lag-30s", "reads of an agent show it as it was 30 seconds ago", lag(30*time.Second)),
		{
			Quirk: Quirk{Name: "agent-type-streaming", Behaviour: "the agent is of the type streaming, of which nobody says that it can be paused",
				Source: "not documented", Refused: "streaming"},
			play: func(b *behaviour) { b.agentType = "streaming" },
		},
	}
}

func serviceQuirks() []playable {
	return []playable{
		{
			Quirk: Quirk{Name: "rate-limit-120s", Behaviour: "others use up the account's limit for 2 minutes, twice: 429 with the time to wait, " +
				"at the third call, and after the runner has connected again", Source: "Maia API reference, rate limits"},
			play: func(b *behaviour) { b.limits = true },
		},
		silent("reads-25s", "the first read of an agent, and of its credentials, takes 25 seconds, and so does the first after a refresh",
			func(b *behaviour) { b.slowReads = true }),
		silent("refresh-25s", "a refresh is carried out at once and answered after 25 seconds", func(b *behaviour) { b.slowRefresh = true }),
		silent("commands-25s", "a command is carried out at once and answered after 25 seconds", func(b *behaviour) { b.slowCommands = true }),
	}
}

func credentialsQuirks() []playable {
	lag := func(d time.Duration) func(*behaviour) { return func(b *behaviour) { b.secretLag = d } }
	return []playable{
		silent("credentials-lag-5s", "reads of credentials show the old secret for 5 seconds after a refresh", lag(5*time.Second)),
		silent("credentials-lag-30s", "reads of credentials show the old secret for 30 seconds after a refresh", lag(30*time.Second)),
		silent("credentials-go-back", "the second read of a new secret shows the one before once more",
			func(b *behaviour) { b.secretFalls = true }),
	}
}

// WithQuirk has the server play quirks, by the names that Quirks gives them. It panics at another name.
func WithQuirk(names ...string) Option {
	return func(o *options) {
		if err := o.behaviour.learn(names); err != nil {
			panic("maiatest: WithQuirk: " + err.Error())
		}
	}
}

// Play has the server play quirks from now on, as well as those that it plays already.
func (s *Server) Play(names ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.options.behaviour.learn(names); err != nil {
		return fmt.Errorf("maiatest: Play: %w", err)
	}
	return nil
}

// learn adds all the quirks, or, if there is a name that is none's, nothing.
func (b *behaviour) learn(names []string) error {
	learned := *b
	for _, name := range names {
		known := playables()
		at := slices.IndexFunc(known, func(p playable) bool { return p.Name == name })
		if at < 0 {
			return fmt.Errorf("there is no quirk %q", name)
		}
		known[at].play(&learned)
	}
	*b = learned
	return nil
}

// fault is what a quirk does to the answer of a call, for which the agent has been asked before n times since its last refresh.
func (b *behaviour) fault(name Name, before int) Fault {
	slow := Fault{Kind: Slow, Delay: slowAnswer}
	switch {
	case slices.Contains(b.lostAnswers, name):
		return Fault{Kind: DropAfter}
	case b.slowReads && before == 0 && (name == GetAgent || name == GetCredentials),
		b.slowRefresh && name == RefreshCredentials,
		b.slowCommands && (name == Pause || name == Resume || name == Restart):
		return slow
	}
	return Fault{}
}
