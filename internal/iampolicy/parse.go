package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Parse reads a policy document. An error names the statement and what is wrong with it.
func Parse(document []byte) (Policy, error) {
	p, err := parse(document)
	if err != nil {
		return Policy{}, fmt.Errorf("iampolicy: %w", err)
	}
	return p, nil
}

func parse(document []byte) (Policy, error) {
	all, err := members(document)
	if err != nil {
		return Policy{}, err
	}
	var p Policy
	version := "2008-10-17"
	found := false
	for _, m := range all {
		switch m.name {
		case "Version":
			if version, err = text(m.value); err == nil && version != "2012-10-17" && version != "2008-10-17" {
				err = fmt.Errorf("%q is unknown", version)
			}
		case "Id":
			_, err = text(m.value)
		case "Statement":
			found = true
			p.Statements, err = statements(m.value)
		default:
			err = errors.New("unknown member")
		}
		if err != nil {
			return Policy{}, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if !found {
		return Policy{}, errors.New("no Statement")
	}
	// The older version has no variables: there "${" is only text.
	if version == "2012-10-17" {
		for i, s := range p.Statements {
			if v := s.variable(); v != "" {
				return Policy{}, fmt.Errorf("Statement: %s: policy variables are not supported: %q", s.name(i), v)
			}
		}
	}
	return p, nil
}

// elements are those of a list, or the value alone where it is none.
func elements(raw json.RawMessage) ([]json.RawMessage, error) {
	list := []json.RawMessage{raw}
	if isList(raw) {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, errors.New("empty")
	}
	return list, nil
}

// statements reads a list of statements, or one alone.
func statements(raw json.RawMessage) ([]Statement, error) {
	list, err := elements(raw)
	if err != nil {
		return nil, err
	}
	var all []Statement
	for i, raw := range list {
		s, err := statement(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name(i), err)
		}
		all = append(all, s)
	}
	return all, nil
}

// name names the statement in an error: its number from 1, and its Sid.
func (s Statement) name(i int) string {
	if s.Sid == "" {
		return fmt.Sprint("number ", i+1)
	}
	return fmt.Sprintf("number %d (%s)", i+1, s.Sid)
}

// statement reads one statement. With an error it returns the part that was read, for its name.
func statement(raw json.RawMessage) (s Statement, err error) {
	all, err := members(raw)
	if err != nil {
		return s, err
	}
	for _, m := range all {
		switch m.name {
		case "Sid":
			s.Sid, err = text(m.value)
		case "Effect":
			if s.Effect, err = text(m.value); err == nil && s.Effect != "Allow" && s.Effect != "Deny" {
				err = fmt.Errorf("%q is neither Allow nor Deny", s.Effect)
			}
		case "Action":
			s.Actions, err = texts(m.value, checkAction)
		case "Resource":
			s.Resources, err = texts(m.value, checkResource)
		case "Principal":
			s.Principals, err = principals(m.value)
		case "Condition":
			s.Conditions, err = conditions(m.value)
		case "NotAction", "NotResource", "NotPrincipal":
			err = errors.New("not supported")
		default:
			err = errors.New("unknown member")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	switch {
	case s.Effect == "":
		return s, errors.New("no Effect")
	case s.Actions == nil:
		return s, errors.New("no Action")
	case s.Resources == nil && s.Principals == nil:
		return s, errors.New("no Resource")
	}
	return s, nil
}

func checkAction(action string) error {
	service, name, ok := strings.Cut(action, ":")
	if action != "*" && (!ok || service == "" || name == "") {
		return fmt.Errorf("%q is neither service:action nor *", action)
	}
	return nil
}

func checkResource(resource string) error {
	if resource != "*" && !strings.HasPrefix(resource, "arn:") {
		return fmt.Errorf("%q is neither an ARN nor *", resource)
	}
	return nil
}

func principals(raw json.RawMessage) (map[string][]string, error) {
	if everybody, err := text(raw); err == nil {
		if everybody != "*" {
			return nil, fmt.Errorf(`%q is neither "*" nor an object`, everybody)
		}
		return map[string][]string{"AWS": {"*"}}, nil
	}
	all, err := members(raw)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("empty")
	}
	kinds := map[string][]string{}
	for _, m := range all {
		if !slices.Contains([]string{"AWS", "Service", "Federated", "CanonicalUser"}, m.name) {
			return nil, fmt.Errorf("%s: unknown kind of principal", m.name)
		}
		if kinds[m.name], err = texts(m.value, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return kinds, nil
}

// conditions reads {operator: {key: value or values}}.
func conditions(raw json.RawMessage) ([]Condition, error) {
	operators, err := members(raw)
	if err != nil {
		return nil, err
	}
	var all []Condition
	for _, operator := range operators {
		keys, err := members(operator.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", operator.name, err)
		}
		for _, key := range keys {
			values, err := scalars(key.value)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", operator.name, key.name, err)
			}
			all = append(all, Condition{Operator: operator.name, Key: key.name, Values: values})
		}
	}
	return all, nil
}

// variable returns the first text of the statement with a policy variable.
func (s Statement) variable() string {
	all := slices.Clone(s.Resources)
	for _, c := range s.Conditions {
		all = append(all, c.Values...)
	}
	if i := slices.IndexFunc(all, func(v string) bool { return strings.Contains(v, "${") }); i >= 0 {
		return all[i]
	}
	return ""
}

type member struct {
	name  string
	value json.RawMessage
}

// members reads an object, in its order. A member that is there twice is an error, as it is in AWS: one of the two would be lost.
func members(raw json.RawMessage) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var all []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, errors.New("not valid JSON")
		}
		m := member{name: t.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, errors.New("not valid JSON")
		}
		if slices.ContainsFunc(all, func(other member) bool { return other.name == m.name }) {
			return nil, fmt.Errorf("%s is there twice", m.name)
		}
		all = append(all, m)
	}
	if _, err := d.Token(); err != nil || !json.Valid(raw) {
		return nil, errors.New("not valid JSON")
	}
	return all, nil
}

func isList(raw json.RawMessage) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) }

func text(raw json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", errors.New("not a string")
	}
	return s, nil
}

// texts reads a string or a list of strings, of which there must be one.
func texts(raw json.RawMessage, check func(string) error) ([]string, error) {
	list, err := elements(raw)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, raw := range list {
		s, err := text(raw)
		if err != nil {
			return nil, err
		}
		if check != nil {
			if err := check(s); err != nil {
				return nil, err
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// scalars reads the values of a condition, which may be booleans and numbers.
func scalars(raw json.RawMessage) ([]string, error) {
	list, err := elements(raw)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, raw := range list {
		s, err := text(raw)
		switch t := string(bytes.TrimSpace(raw)); {
		case err == nil:
		case t == "null" || strings.HasPrefix(t, "{") || strings.HasPrefix(t, "["):
			return nil, errors.New("not a string, a number or a boolean")
		default:
			s = t
		}
		all = append(all, s)
	}
	return all, nil
}
