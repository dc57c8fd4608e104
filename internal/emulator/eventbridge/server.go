package eventbridge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// defaultBus is the bus that every account has.
const defaultBus = "default"

// Options are the settings of a [Server]. All may be left out.
type Options struct {
	Region  string // "eu-west-1" if empty
	Account string // "123456789012" if empty
}

// Server is the service. It is an [http.Handler]; create it with [New].
type Server struct {
	*awsjson.Handler
	options Options

	mu    sync.Mutex
	buses map[string][]Rule // by name; the rules in the order of their names
}

// New returns a service with the default bus, without rules. It must be closed.
func New(options Options) *Server {
	options.Region = cmp.Or(options.Region, "eu-west-1")
	options.Account = cmp.Or(options.Account, "123456789012")
	s := &Server{
		Handler: awsjson.New(awsjson.Config{
			SigningName:     "events",
			TargetPrefix:    "AWSEvents",
			Region:          options.Region,
			ErrorMember:     "message",
			ServerError:     "InternalException",
			ResourceMembers: []string{"TargetArn", "Rule", "Name"},
		}),
		options: options,
		buses:   map[string][]Rule{defaultBus: nil},
	}
	awsjson.Register(s.Handler, "ListRuleNamesByTarget", s.listRuleNamesByTarget)
	awsjson.Register(s.Handler, "DescribeRule", s.describeRule)
	awsjson.Register(s.Handler, "ListTargetsByRule", s.listTargetsByRule)
	return s
}

// findBus returns the name of the bus of that name or ARN; the default one if
// id is nil. The caller holds the lock, here and below.
func (s *Server) findBus(id *string) (string, error) {
	if id == nil {
		return defaultBus, nil
	}
	if !validBus.MatchString(*id) || len(*id) > 1600 {
		return "", awsjson.Invalid("'"+*id+"' at 'eventBusName'", "satisfy regular expression pattern: "+
			"(arn:aws[\\w-]*:events:[a-z]+-[a-z]+-[\\w-]+:[0-9]{12}:event-bus\\/)?[/\\.\\-_A-Za-z0-9]+")
	}
	name := strings.TrimPrefix(*id, s.arn("event-bus", ""))
	if _, ok := s.buses[name]; !ok {
		return "", awsjson.Errorf("ResourceNotFoundException", "Event bus %s does not exist.", name)
	}
	return name, nil
}

// find returns a rule, and the name of its bus.
func (s *Server) find(name string, busID *string, member string) (Rule, error) {
	if !validName.MatchString(name) {
		return Rule{}, awsjson.Invalid("'"+name+"' at '"+member+"'",
			"satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+ and have length between 1 and 64")
	}
	bus, err := s.findBus(busID)
	if err != nil {
		return Rule{}, err
	}
	i := slices.IndexFunc(s.buses[bus], func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return Rule{}, awsjson.Errorf("ResourceNotFoundException", "Rule %s does not exist on EventBus %s.", name, bus)
	}
	return s.buses[bus][i], nil
}

func (s *Server) arn(kind, rest string) string {
	return fmt.Sprintf("arn:aws:events:%s:%s:%s/%s", s.options.Region, s.options.Account, kind, rest)
}

// ruleARN has the bus in it, unless it is the default one.
func (s *Server) ruleARN(r Rule) string {
	if r.EventBusName == defaultBus {
		return s.arn("rule", r.Name)
	}
	return s.arn("rule", r.EventBusName+"/"+r.Name)
}
