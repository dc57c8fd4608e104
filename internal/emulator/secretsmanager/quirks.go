package secretsmanager

import (
	"fmt"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
)

// labelsLag is how long DescribeSecret shows the labels from before a change, where it lags.
const labelsLag = 2500 * time.Millisecond

// Quirks are the ways in which Secrets Manager may behave that [Server.Play] knows. Those that are about a secret hold for each.
func Quirks() []quirk.Quirk {
	return []quirk.Quirk{
		{Name: "pending-stays", Behaviour: "after a rotation AWSPENDING stays on the version that is AWSCURRENT",
			Source: "aws-samples/aws-secrets-manager-rotation-lambdas 168"},
		{Name: "changed-by-tags", Behaviour: "LastChangedDate is of a moment ago: another writer tags the secret all the time",
			Source: "Secrets Manager documentation, TagResource"},
		{Name: "labels-lag", Behaviour: "DescribeSecret shows the labels from before a change for 2.5 s", Source: "not documented"},
		{Name: "replicas-stuck", Behaviour: "a replica in another region has failed and follows no more",
			Source: "square/password-rotation-lambda 12"},
		{Name: "throttled", Behaviour: "two of five calls are refused with ThrottlingException", Source: "Secrets Manager documentation, quotas"},
		{Name: "slow-answers", Behaviour: "each seventh call is carried out and answered after 25 s", Source: "not documented"},
	}
}

// Play has the server behave as the quirks of these names say, from now on.
func (s *Server) Play(names ...string) error {
	if err := quirk.Known(Quirks(), names); err != nil {
		return fmt.Errorf("secretsmanager: %w", err)
	}
	s.PlayAnswers(names...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.played[name] = true
	}
	return nil
}

// described is what DescribeSecret showed until a change, and the time of the change.
type described struct {
	until time.Time
	stagesShown
}

type stagesShown struct {
	changed time.Time
	stages  map[string][]string
}

// changing remembers what is shown of a secret before a change by a call. The caller holds the lock, here and below.
func (s *Server) changing(sec *secret) {
	if s.played["labels-lag"] {
		sec.shown = append(sec.shown, described{time.Now(), stagesShown{sec.changed, sec.stagesByVersion()}})
	}
}

// show is what DescribeSecret shows of a secret.
func (s *Server) show(sec *secret) *describeOutput {
	out := &describeOutput{metadata: sec.metadata(), VersionIdsToStages: sec.stagesByVersion()}
	now := time.Now()
	for _, before := range sec.shown {
		if now.Sub(before.until) < labelsLag {
			out.VersionIdsToStages, out.LastChangedDate = before.stages, awsjson.TimeOf(before.changed)
			break
		}
	}
	if s.played["changed-by-tags"] {
		out.LastChangedDate = awsjson.TimeOf(now)
	}
	if s.played["replicas-stuck"] {
		out.PrimaryRegion = s.options.Region
		out.ReplicationStatus = []replication{{
			Region: "eu-central-1", Status: "Failed",
			StatusMessage: "Replication failed: Secret name simultaneously already exists in destination region",
		}}
	}
	return out
}

// replication is how a replica of a secret stands.
type replication struct {
	Region        string
	Status        string
	StatusMessage string `json:",omitempty"`
}
