package iam

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

// role is a role with its policies, inline and attached ones alike.
type role struct{ policies []iampolicy.Policy }

var (
	validRole = regexp.MustCompile(`^(?:[\x21-\x2E\x30-\x7E]+/)*[\w+=,.@-]{1,64}$`)
	entityARN = regexp.MustCompile(`^arn:aws[a-zA-Z-]*:iam::(\d{12}):(user|group|role)/(.+)$`)
)

// AddRole adds a role with the policy documents and returns its ARN. The name may begin with a path, such as
// "service-role/rotate". It panics if IAM would refuse the role or a document, or if package iampolicy cannot evaluate it.
func (s *Server) AddRole(name string, documents ...string) (arn string) {
	if !validRole.MatchString(name) {
		panic(fmt.Sprintf("iam: invalid role name %q", name))
	}
	added := &role{}
	for i, document := range documents {
		policy, err := iampolicy.Parse([]byte(document))
		if err != nil {
			panic(fmt.Sprintf("iam: role %s: policy %d: %v", name, i+1, err))
		}
		for _, statement := range policy.Statements {
			if statement.Principals != nil {
				panic(fmt.Sprintf("iam: role %s: policy %d: a role's policy has no Principal", name, i+1))
			}
		}
		added.policies = append(added.policies, policy)
	}
	arn = "arn:aws:iam::" + s.options.Account + ":role/" + name
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roles[arn] != nil {
		panic("iam: role " + name + " already exists")
	}
	s.roles[arn] = added
	return arn
}

// find returns the role of that ARN. The caller holds the lock.
func (s *Server) find(arn string) (*role, error) {
	m := entityARN.FindStringSubmatch(arn)
	if m == nil {
		return nil, invalidInput("Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
	}
	found := s.roles[arn]
	if found == nil {
		name := m[3][strings.LastIndex(m[3], "/")+1:]
		return nil, failure(http.StatusNotFound, "NoSuchEntity", "The %s with name %s cannot be found.", m[2], name)
	}
	return found, nil
}
