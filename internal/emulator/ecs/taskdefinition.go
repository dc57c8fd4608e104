package ecs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// Container is a container of a task definition.
type Container struct {
	Name        string
	Environment map[string]string
	Secrets     map[string]string // variable to valueFrom
}

type taskDefinition struct {
	family     string
	revision   int
	arn        string
	containers []Container
}

type describeDefinitionInput struct {
	TaskDefinition string   `json:"taskDefinition"`
	Include        []string `json:"include"`
}

type describeDefinitionOutput struct {
	TaskDefinition wireDefinition `json:"taskDefinition"`
	Tags           []struct{}     `json:"tags"`
}

type wireDefinition struct {
	ARN        string          `json:"taskDefinitionArn"`
	Family     string          `json:"family"`
	Revision   int             `json:"revision"`
	Status     string          `json:"status"`
	Containers []wireContainer `json:"containerDefinitions"`
}

type wireContainer struct {
	Name        string         `json:"name"`
	Essential   bool           `json:"essential"`
	Environment []wireVariable `json:"environment"`
	Secrets     []wireSecret   `json:"secrets,omitempty"`
}

type wireVariable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type wireSecret struct {
	Name      string `json:"name"`
	ValueFrom string `json:"valueFrom"`
}

func (s *Server) describeTaskDefinition(in *describeDefinitionInput) (*describeDefinitionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.findDefinition(in.TaskDefinition)
	if d == nil {
		return nil, awsjson.Errorf("ClientException", "Unable to describe task definition.")
	}
	out := &describeDefinitionOutput{
		TaskDefinition: wireDefinition{ARN: d.arn, Family: d.family, Revision: d.revision, Status: "ACTIVE"},
		Tags:           []struct{}{},
	}
	for _, c := range d.containers {
		wire := wireContainer{Name: c.Name, Essential: true, Environment: []wireVariable{}}
		for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
			wire.Environment = append(wire.Environment, wireVariable{name, c.Environment[name]})
		}
		for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
			wire.Secrets = append(wire.Secrets, wireSecret{name, c.Secrets[name]})
		}
		out.TaskDefinition.Containers = append(out.TaskDefinition.Containers, wire)
	}
	return out, nil
}

// findDefinition returns the task definition of that ARN, family:revision, or family (its latest revision), or nil.
func (s *Server) findDefinition(id string) *taskDefinition {
	id = strings.TrimPrefix(id, s.arn("task-definition", ""))
	for _, d := range slices.Backward(s.definitions) {
		if id == d.family || id == d.family+":"+strconv.Itoa(d.revision) {
			return d
		}
	}
	return nil
}

// environment resolves the environment of a task's containers, as the agent does when the task starts.
func (s *Server) environment(d *taskDefinition) (map[string]string, error) {
	env := map[string]string{}
	for _, c := range d.containers {
		maps.Copy(env, c.Environment)
		for name, from := range c.Secrets {
			value, err := s.resolve(from)
			if err != nil {
				return nil, fmt.Errorf("ResourceInitializationError: unable to pull secrets or registry auth: %w", err)
			}
			env[name] = value
		}
	}
	return env, nil
}

// resolve reads what a valueFrom names: ARN, or ARN:json-key:version-stage:version-id where each of the three may be empty.
func (s *Server) resolve(valueFrom string) (string, error) {
	if s.options.SecretValue == nil {
		return "", fmt.Errorf("ecs: no Options.SecretValue")
	}
	parts := strings.Split(valueFrom, ":")
	const arnParts = 7
	if len(parts) != arnParts && len(parts) != arnParts+3 {
		return s.options.SecretValue(valueFrom, "", "") // not from Secrets Manager
	}
	arn := strings.Join(parts[:arnParts], ":")
	key, stage, version := "", "", ""
	if len(parts) > arnParts {
		key, stage, version = parts[7], parts[8], parts[9]
	}
	value, err := s.options.SecretValue(arn, stage, version)
	if err != nil || key == "" {
		return value, err
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(value), &document); err != nil {
		return "", fmt.Errorf("the secret %s is no JSON object", arn)
	}
	member, ok := document[key]
	if !ok {
		return "", fmt.Errorf("retrieved secret from Secrets Manager did not contain json key %s", key)
	}
	return fmt.Sprint(member), nil
}
