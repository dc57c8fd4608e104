package secretsmanager

import (
	"slices"
	"strconv"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

type secretInput struct {
	SecretId string
}

type describeOutput struct {
	metadata
	VersionIdsToStages map[string][]string `json:",omitempty"`
	PrimaryRegion      string              `json:",omitempty"`
	ReplicationStatus  []replication       `json:",omitempty"`
}

// metadata is what both DescribeSecret and ListSecrets show of a secret.
type metadata struct {
	ARN               string
	Name              string
	Description       string         `json:",omitempty"`
	KmsKeyId          string         `json:",omitempty"`
	RotationEnabled   *bool          `json:",omitempty"`
	RotationLambdaARN string         `json:",omitempty"`
	RotationRules     *rotationRules `json:",omitempty"`
	LastRotatedDate   *awsjson.Time  `json:",omitempty"`
	NextRotationDate  *awsjson.Time  `json:",omitempty"`
	LastChangedDate   *awsjson.Time
	CreatedDate       *awsjson.Time
	DeletedDate       *awsjson.Time `json:",omitempty"`
}

func (s *secret) metadata() metadata {
	m := metadata{
		ARN:               s.arn,
		Name:              s.name,
		Description:       s.description,
		KmsKeyId:          s.kmsKeyID,
		RotationLambdaARN: s.functionARN,
		RotationRules:     s.rules,
		LastRotatedDate:   awsjson.TimeOf(s.rotated),
		NextRotationDate:  awsjson.TimeOf(s.nextRotation()),
		LastChangedDate:   awsjson.TimeOf(s.changed),
		CreatedDate:       awsjson.TimeOf(s.created),
		DeletedDate:       awsjson.TimeOf(s.deleted),
	}
	if s.configured {
		m.RotationEnabled = new(s.enabled)
	}
	return m
}

func (s *Server) describeSecret(in *secretInput) (*describeOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	return s.show(sec), nil
}

type getInput struct {
	SecretId     string
	VersionId    string
	VersionStage string
}

type getOutput struct {
	ARN           string
	Name          string
	VersionId     string
	SecretString  *string `json:",omitempty"`
	SecretBinary  []byte  `json:",omitempty"`
	VersionStages []string
	CreatedDate   *awsjson.Time
}

func (s *Server) getSecretValue(in *getInput) (*getOutput, error) {
	if in.VersionId != "" {
		if err := checkToken(in.VersionId); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.findUsable(in.SecretId)
	if err != nil {
		return nil, err
	}
	v, err := sec.read(in.VersionId, in.VersionStage)
	if err != nil {
		return nil, err
	}
	return &getOutput{
		ARN:           sec.arn,
		Name:          sec.name,
		VersionId:     v.id,
		SecretString:  v.value.text,
		SecretBinary:  v.value.binary,
		VersionStages: slices.Clone(v.stages),
		CreatedDate:   awsjson.TimeOf(v.created),
	}, nil
}

// read returns the version with a value that the id and the label name; both may be empty.
func (s *secret) read(id, stage string) (*version, error) {
	if id == "" && stage == "" {
		stage = current
	}
	var v *version
	what := "staging label: " + stage
	if id != "" {
		v, what = s.version(id), "VersionId: "+id
	} else {
		v = s.holder(stage)
	}
	notFound := awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for %s", what)
	if v == nil {
		return nil, notFound
	}
	if id != "" && stage != "" && !v.has(stage) {
		return nil, awsjson.Errorf("InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
	}
	lagging := time.Now().Before(v.visible) && (id != "" || stage == pending)
	if v.value.empty() || lagging {
		return nil, notFound
	}
	return v, nil
}

type listVersionsInput struct {
	SecretId          string
	IncludeDeprecated bool
	MaxResults        *int
	NextToken         string
}

type listVersionsOutput struct {
	ARN       string
	Name      string
	Versions  []listedVersion
	NextToken string `json:",omitempty"`
}

type listedVersion struct {
	VersionId     string
	VersionStages []string `json:",omitempty"`
	CreatedDate   *awsjson.Time
}

func (s *Server) listSecretVersionIds(in *listVersionsInput) (*listVersionsOutput, error) {
	page := 100
	if in.MaxResults != nil {
		page = *in.MaxResults
	}
	if page < 1 || page > 100 {
		return nil, awsjson.Invalid("at 'maxResults'", "be between 1 and 100")
	}
	start := 0
	if in.NextToken != "" {
		var err error
		if start, err = strconv.Atoi(in.NextToken); err != nil || start < 1 {
			return nil, awsjson.Errorf("InvalidNextTokenException", "The NextToken value is invalid.")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	out := &listVersionsOutput{ARN: sec.arn, Name: sec.name, Versions: []listedVersion{}}
	for _, v := range sec.versions {
		if len(v.stages) > 0 || in.IncludeDeprecated {
			out.Versions = append(out.Versions, listedVersion{v.id, slices.Clone(v.stages), awsjson.TimeOf(v.created)})
		}
	}
	end := min(start+page, len(out.Versions))
	if end < len(out.Versions) {
		out.NextToken = strconv.Itoa(end)
	}
	out.Versions = out.Versions[min(start, end):end]
	return out, nil
}
