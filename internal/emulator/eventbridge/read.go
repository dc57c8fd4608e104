package eventbridge

import (
	"slices"
	"strconv"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

type listRulesInput struct {
	TargetArn    string
	EventBusName *string
	Limit        *int
	NextToken    *string
}

type listRulesOutput struct {
	RuleNames []string
	NextToken string `json:",omitempty"`
}

func (s *Server) listRuleNamesByTarget(in *listRulesInput) (*listRulesOutput, error) {
	if n := len(in.TargetArn); n < 1 || n > 1600 {
		return nil, awsjson.Invalid("'"+in.TargetArn+"' at 'targetArn'", "have length between 1 and 1600")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bus, err := s.findBus(in.EventBusName)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, r := range s.buses[bus] {
		if slices.ContainsFunc(r.Targets, func(t Target) bool { return t.ARN == in.TargetArn }) {
			names = append(names, r.Name) // once, whatever number of targets
		}
	}
	names, next, err := page(names, in.Limit, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &listRulesOutput{names, next}, nil
}

type describeInput struct {
	Name         string
	EventBusName *string
}

type describeOutput struct {
	Arn                string
	Name               string
	Description        string `json:",omitempty"`
	EventBusName       string
	ScheduleExpression string `json:",omitempty"`
	EventPattern       string `json:",omitempty"`
	State              string
	CreatedBy          string
}

func (s *Server) describeRule(in *describeInput) (*describeOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(in.Name, in.EventBusName, "name")
	if err != nil {
		return nil, err
	}
	return &describeOutput{
		Arn: s.ruleARN(r), Name: r.Name, Description: r.Description, EventBusName: r.EventBusName,
		ScheduleExpression: r.ScheduleExpression, EventPattern: r.EventPattern, State: r.State, CreatedBy: s.options.Account,
	}, nil
}

type listTargetsInput struct {
	Rule         string
	EventBusName *string
	Limit        *int
	NextToken    *string
}

type listTargetsOutput struct {
	Targets   []wireTarget
	NextToken string `json:",omitempty"`
}

type wireTarget struct {
	ID    string `json:"Id"`
	ARN   string `json:"Arn"`
	Input string `json:",omitempty"`
}

func (s *Server) listTargetsByRule(in *listTargetsInput) (*listTargetsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(in.Rule, in.EventBusName, "rule")
	if err != nil {
		return nil, err
	}
	all := []wireTarget{}
	for _, t := range r.Targets {
		all = append(all, wireTarget(t))
	}
	all, next, err := page(all, in.Limit, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &listTargetsOutput{all, next}, nil
}

// page returns the part of a list that is asked for, and the token of the next.
func page[T any](all []T, limit *int, token *string) (part []T, next string, err error) {
	n := 100
	if limit != nil {
		n = *limit
	}
	if n < 1 || n > 100 {
		return nil, "", awsjson.Invalid("'"+strconv.Itoa(n)+"' at 'limit'", "be between 1 and 100")
	}
	start := 0
	if token != nil {
		if start, err = strconv.Atoi(*token); err != nil || start < 1 {
			return nil, "", awsjson.Errorf("InvalidToken", "The NextToken is invalid.")
		}
	}
	end := min(start+n, len(all))
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[min(start, end):end], next, nil
}
