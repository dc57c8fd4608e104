package ecs

import (
	"strconv"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

type describeInput struct {
	Cluster  string   `json:"cluster"`
	Services []string `json:"services"`
	Include  []string `json:"include"`
}

type describeOutput struct {
	Services []wireService `json:"services"`
	Failures []failure     `json:"failures"`
}

type failure struct {
	ARN    string `json:"arn"`
	Reason string `json:"reason"`
}

func (s *Server) describeServices(in *describeInput) (*describeOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.findCluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if n := len(in.Services); n == 0 || n > 10 {
		return nil, awsjson.Errorf("InvalidParameterException", "services must have between 1 and 10 elements.")
	}
	out := &describeOutput{Services: []wireService{}, Failures: []failure{}}
	for _, id := range in.Services {
		if sv := s.find(c, id); sv != nil {
			out.Services = append(out.Services, s.shown(sv))
			continue
		}
		if !strings.HasPrefix(id, "arn:") {
			id = s.serviceARN(c.name, id)
		}
		out.Failures = append(out.Failures, failure{id, "MISSING"})
	}
	return out, nil
}

type listInput struct {
	Cluster    string `json:"cluster"`
	MaxResults *int   `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

type listOutput struct {
	ARNs      []string `json:"serviceArns"`
	NextToken string   `json:"nextToken,omitempty"`
}

func (s *Server) listServices(in *listInput) (*listOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.findCluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	page := 10 // the service's own default
	if in.MaxResults != nil {
		page = *in.MaxResults
	}
	if page < 1 || page > 100 {
		return nil, awsjson.Errorf("InvalidParameterException", "maxResults must be between 1 and 100.")
	}
	start := 0
	if in.NextToken != "" {
		if start, err = strconv.Atoi(in.NextToken); err != nil || start < 1 {
			return nil, awsjson.Errorf("InvalidParameterException", "Invalid token.")
		}
	}
	out := &listOutput{ARNs: []string{}}
	end := min(start+page, len(c.services))
	for _, sv := range c.services[min(start, end):end] {
		out.ARNs = append(out.ARNs, sv.arn)
	}
	if end < len(c.services) {
		out.NextToken = strconv.Itoa(end)
	}
	return out, nil
}
