package lambdaapi

import "regexp"

// isVersion matches versions, and no aliases, which are not numbers.
var isVersion = regexp.MustCompile(`^[0-9]+$`)

// configuration is a function's configuration as the API answers it.
type configuration struct {
	FunctionName     string
	FunctionArn      string
	Runtime          string
	Role             string
	Handler          string
	CodeSize         int64
	CodeSha256       string
	Description      string
	Timeout          int
	MemorySize       int
	LastModified     string
	Version          string
	VpcConfig        *vpcConfig   `json:",omitempty"`
	Environment      *environment `json:",omitempty"`
	KMSKeyArn        string       `json:",omitempty"`
	TracingConfig    map[string]string
	RevisionId       string
	State            string
	LastUpdateStatus string
	PackageType      string
	Architectures    []string
	EphemeralStorage map[string]int
	SnapStart        map[string]string
	LoggingConfig    map[string]string
}

type environment struct{ Variables map[string]string }

type vpcConfig struct {
	SubnetIds, SecurityGroupIds []string
	VpcId                       string
	Ipv6AllowedForDualStack     bool
}

// The three operations. Their callers hold the lock.

func (s *Server) getFunctionConfiguration(ref reference) (any, error) {
	f, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	out := configuration{
		FunctionName:     f.Name,
		FunctionArn:      s.arn(ref),
		Runtime:          f.Runtime,
		Role:             f.Role,
		Handler:          f.Handler,
		CodeSize:         4 << 20,
		CodeSha256:       "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		Timeout:          f.Timeout,
		MemorySize:       f.MemorySize,
		LastModified:     f.modified.UTC().Format("2006-01-02T15:04:05.000-0700"),
		Version:          latest,
		KMSKeyArn:        f.KMSKeyArn,
		TracingConfig:    map[string]string{"Mode": "PassThrough"},
		RevisionId:       f.revision,
		State:            f.State,
		LastUpdateStatus: f.LastUpdateStatus,
		PackageType:      "Zip",
		Architectures:    f.Architectures,
		EphemeralStorage: map[string]int{"Size": 512},
		SnapStart:        map[string]string{"ApplyOn": "None", "OptimizationStatus": "Off"},
		LoggingConfig:    map[string]string{"LogFormat": f.LogFormat, "LogGroup": "/aws/lambda/" + f.Name},
	}
	if f.has(ref.qualifier) {
		out.Version = "1" // of any alias
		if isVersion.MatchString(ref.qualifier) {
			out.Version = ref.qualifier
		}
	}
	if f.LogFormat == "JSON" {
		out.LoggingConfig["ApplicationLogLevel"], out.LoggingConfig["SystemLogLevel"] = "INFO", "INFO"
	}
	if len(f.Environment) > 0 {
		out.Environment = &environment{f.Environment}
	}
	if f.VPC {
		out.VpcConfig = &vpcConfig{
			SubnetIds: []string{"subnet-0123456789abcdef0"}, SecurityGroupIds: []string{"sg-0123456789abcdef0"}, VpcId: "vpc-0123456789abcdef0",
		}
	}
	return out, nil
}

type concurrency struct {
	ReservedConcurrentExecutions *int `json:",omitempty"`
}

func (s *Server) getFunctionConcurrency(ref reference) (any, error) {
	f, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	return concurrency{f.ReservedConcurrency}, nil
}

type policyOutput struct{ Policy, RevisionId string }

func (s *Server) getPolicy(ref reference) (any, error) {
	f, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	// The policy of an alias is its own; $LATEST cannot have one.
	policy := f.Policy
	if ref.qualifier != "" {
		policy = f.Aliases[ref.qualifier]
	}
	if policy == "" {
		return nil, notFound("The resource you requested does not exist.")
	}
	return policyOutput{policy, f.revision}, nil
}
