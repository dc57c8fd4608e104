package secretsmanager

import (
	"bytes"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// The labels that Secrets Manager itself gives a meaning.
const (
	current  = "AWSCURRENT"
	pending  = "AWSPENDING"
	previous = "AWSPREVIOUS"
)

const (
	maxVersions = 100            // beyond it deprecated versions are dropped …
	keepVersion = 24 * time.Hour // … but none younger than this
	maxLabels   = 20             // on all versions of a secret together
)

// secret is one secret. The server's lock guards it.
type secret struct {
	arn, name, description string
	kmsKeyID               string // "" is the key that AWS manages
	resourcePolicy         string
	created, changed       time.Time
	deleted                time.Time // when it was marked for deletion
	rotated                time.Time // the last rotation that succeeded
	versions               []*version

	configured  bool // rotation was enabled at some time
	enabled     bool
	functionARN string
	rules       *rotationRules // never changed, but replaced
	scheduled   time.Time      // when the rules were given, or rotation was enabled
	rotation    *rotation      // the last one, perhaps still running
	shown       []described    // before changes, where reads lag
}

// version is one version. Without a value it was registered by a rotation.
type version struct {
	id      string
	value   value
	created time.Time
	visible time.Time // reads before it do not find the version
	stages  []string
}

// value is a secret value of one of the two kinds; both nil is no value.
type value struct {
	text   *string
	binary []byte
}

func (v value) empty() bool { return v.text == nil && v.binary == nil }

func (v value) equal(other value) bool {
	if v.text == nil || other.text == nil {
		return v.text == other.text && bytes.Equal(v.binary, other.binary)
	}
	return *v.text == *other.text
}

// check checks a value that must be there.
func (v value) check() error {
	switch {
	case v.empty():
		return awsjson.Errorf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	case v.text != nil && v.binary != nil:
		return awsjson.Errorf("InvalidParameterException",
			"You can't specify both a binary secret value and a string secret value in the same secret.")
	}
	member, n := "secretBinary", len(v.binary)
	if v.text != nil {
		member, n = "secretString", len(*v.text)
	}
	if n < 1 {
		return awsjson.Invalid("at '"+member+"'", "have length greater than or equal to 1")
	}
	if n > 65536 {
		return awsjson.Invalid("at '"+member+"'", "have length less than or equal to 65536")
	}
	return nil
}

// version returns the version of that id, or nil.
func (s *secret) version(id string) *version {
	for _, v := range s.versions {
		if v.id == id {
			return v
		}
	}
	return nil
}

// holder returns the version with the label, or nil.
func (s *secret) holder(label string) *version {
	for _, v := range s.versions {
		if v.has(label) {
			return v
		}
	}
	return nil
}

func (v *version) has(label string) bool { return v != nil && slices.Contains(v.stages, label) }

// stagesByVersion are the labels of the versions, without versions that have none.
func (s *secret) stagesByVersion() map[string][]string {
	all := map[string][]string{}
	for _, v := range s.versions {
		if len(v.stages) > 0 {
			all[v.id] = slices.Clone(v.stages)
		}
	}
	return all
}

// label moves the label to the version, from wherever it is. AWSPREVIOUS goes to the version that AWSCURRENT comes from.
func (s *secret) label(to *version, label string) {
	from := s.holder(label)
	if from == to {
		return
	}
	if from != nil {
		s.unlabel(from, label)
		if label == current {
			s.label(from, previous)
		}
	}
	to.stages = append(to.stages, label)
	slices.Sort(to.stages)
}

func (s *secret) unlabel(v *version, label string) {
	v.stages = slices.DeleteFunc(v.stages, func(l string) bool { return l == label })
}

// checkLimit refuses labels that would be too many with those that exist.
func (s *secret) checkLimit(labels ...string) error {
	all := slices.Clone(labels)
	for _, v := range s.versions {
		all = append(all, v.stages...)
	}
	if slices.Sort(all); len(slices.Compact(all)) > maxLabels {
		return awsjson.Errorf("LimitExceededException", "A secret can have at most %d staging labels attached to all its versions.", maxLabels)
	}
	return nil
}

// add adds a version, and drops old ones without labels that became too many.
func (s *secret) add(v *version) {
	s.versions = append(s.versions, v)
	now := time.Now()
	for i := 0; len(s.versions) > maxVersions && i < len(s.versions); {
		if old := s.versions[i]; len(old.stages) == 0 && now.Sub(old.created) > keepVersion {
			s.remove(old)
		} else {
			i++
		}
	}
}

func (s *secret) remove(v *version) {
	s.versions = slices.DeleteFunc(s.versions, func(other *version) bool { return other == v })
}
