package secretsmanager

import (
	"encoding/json"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

type policyOutput struct {
	ARN            string
	Name           string
	ResourcePolicy string `json:",omitempty"`
}

func (s *Server) getResourcePolicy(in *secretInput) (*policyOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	return &policyOutput{sec.arn, sec.name, sec.resourcePolicy}, nil
}

// checkResourcePolicy checks that a policy is one by its form.
func checkResourcePolicy(document string) error {
	var members struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(document), &members) != nil || members.Statement == nil || len(document) > 20480 {
		return awsjson.Errorf("MalformedPolicyDocumentException", "This resource policy contains invalid Json")
	}
	return nil
}
