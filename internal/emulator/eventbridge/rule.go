package eventbridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rule is a rule with its targets.
type Rule struct {
	Name               string
	Description        string
	EventBusName       string // "default" if empty; another bus comes into being with its first rule
	ScheduleExpression string // "rate(1 hour)", "cron(0 8 * * ? *)"; only on the default bus
	EventPattern       string // JSON; a rule has a schedule, a pattern, or both
	State              string // "ENABLED" (if empty), "DISABLED", …
	Targets            []Target
}

// Target is what a rule invokes.
type Target struct {
	ID    string
	ARN   string
	Input string // JSON that the target gets in place of the event; "" is the event
}

var (
	validName   = regexp.MustCompile(`^[.\-_A-Za-z0-9]{1,64}$`)
	validBus    = regexp.MustCompile(`^(arn:aws[\w-]*:events:[a-z]+-[a-z]+-[\w-]+:[0-9]{12}:event-bus/)?[/.\-_A-Za-z0-9]+$`)
	validTarget = regexp.MustCompile(`^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12})?:.+$`)
	rate        = regexp.MustCompile(`^rate\(([1-9][0-9]*) (minute|hour|day)(s?)\)$`)
	cron        = regexp.MustCompile(`^cron\(([^ ()]+ ){5}[^ ()]+\)$`)
)

// maxTargets is how many targets a rule may have.
const maxTargets = 5

// AddRule adds a rule and returns its ARN. It panics if EventBridge would refuse it.
func (s *Server) AddRule(r Rule) (arn string) {
	if r.EventBusName == "" {
		r.EventBusName = defaultBus
	}
	if r.State == "" {
		r.State = "ENABLED"
	}
	r.Targets = slices.Clone(r.Targets)
	if err := r.check(); err != nil {
		panic(fmt.Sprintf("eventbridge: rule %s: %v", r.Name, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rules := s.buses[r.EventBusName]
	i, found := slices.BinarySearchFunc(rules, r.Name, func(r Rule, name string) int { return strings.Compare(r.Name, name) })
	if found {
		panic("eventbridge: rule " + r.Name + " already exists")
	}
	s.buses[r.EventBusName] = slices.Insert(rules, i, r)
	return s.ruleARN(r)
}

func (r Rule) check() error {
	switch {
	case !validName.MatchString(r.Name):
		return errors.New("the name is invalid")
	case strings.HasPrefix(r.EventBusName, "arn:") || !validBus.MatchString(r.EventBusName):
		return errors.New("the bus is not a name")
	case !slices.Contains([]string{"ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"}, r.State):
		return fmt.Errorf("unknown state %q", r.State)
	case r.ScheduleExpression == "" && r.EventPattern == "":
		return errors.New("neither a schedule nor a pattern")
	case r.ScheduleExpression != "" && r.EventBusName != defaultBus:
		return errors.New("a schedule is supported on the default bus only")
	case r.ScheduleExpression != "" && !validSchedule(r.ScheduleExpression):
		return fmt.Errorf("the schedule %q is invalid", r.ScheduleExpression)
	case r.EventPattern != "" && (!json.Valid([]byte(r.EventPattern)) || !strings.HasPrefix(strings.TrimSpace(r.EventPattern), "{")):
		return errors.New("the pattern is not a JSON object")
	case len(r.Targets) > maxTargets:
		return fmt.Errorf("more than %d targets", maxTargets)
	}
	ids := map[string]bool{}
	for _, t := range r.Targets {
		switch {
		case !validName.MatchString(t.ID) || ids[t.ID]:
			return fmt.Errorf("the target's ID %q is invalid, or there twice", t.ID)
		case !validTarget.MatchString(t.ARN):
			return fmt.Errorf("the target's ARN %q is invalid", t.ARN)
		case t.Input != "" && !json.Valid([]byte(t.Input)):
			return fmt.Errorf("the input of target %s is not JSON", t.ID)
		}
		ids[t.ID] = true
	}
	return nil
}

// validSchedule checks a rate, whose unit agrees with its number, or the form
// of a cron expression, in which one of the two days is "?".
func validSchedule(expression string) bool {
	if m := rate.FindStringSubmatch(expression); m != nil {
		n, err := strconv.Atoi(m[1])
		return err == nil && (n == 1) == (m[3] == "")
	}
	if !cron.MatchString(expression) {
		return false
	}
	fields := strings.Fields(strings.TrimSuffix(expression, ")"))
	return (fields[2] == "?") != (fields[4] == "?")
}
