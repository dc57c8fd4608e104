package rotation

import (
	"cmp"
	"slices"
	"strings"
)

// Permission is one thing that the function does in AWS, and that its role must allow.
type Permission struct {
	Action   string            // such as "secretsmanager:GetSecretValue"
	Resource string            // an ARN, "*" where IAM knows no narrower one; it ends in "/*" for all services of a cluster
	Context  map[string]string // the condition keys of the call, without those of every call
}

// Found is what a configuration does not say about the function's resources. All of it may be left out.
type Found struct {
	Function string            // ARN of the function
	Services []string          // ARNs of the runners' services; nil: all that the configuration may mean
	Keys     map[string]string // ARN of a secret → ARN of the customer managed key that it is encrypted with
}

// Permissions lists what the function does in AWS in rotations of these secrets (ARNs), and in its own actions. It leaves out the
// writing of logs, which Lambda does with the same role.
func Permissions(config Config, secrets []string, found Found) []Permission {
	if len(secrets) == 0 {
		return nil
	}
	platform := platformOf(secrets[0])
	var all []Permission
	add := func(resource string, context map[string]string, actions ...string) {
		for _, action := range actions {
			all = append(all, Permission{action, resource, context})
		}
	}
	rotated := map[string]string{}
	if found.Function != "" {
		rotated["secretsmanager:resource/AllowRotationLambdaArn"] = unqualified(found.Function)
	}
	for _, secret := range secrets {
		add(secret, rotated, "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
			"secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage")
		if key := found.Keys[secret]; key != "" {
			add(key, platform.encryption(secret), "kms:Decrypt", "kms:GenerateDataKey")
		}
	}
	if credential := config.CredentialsSecretARN; credential != "" {
		add(credential, nil, "secretsmanager:GetSecretValue")
		if key := found.Keys[credential]; key != "" {
			add(key, platform.encryption(credential), "kms:Decrypt")
		}
	}
	if len(config.Secrets) == 0 {
		add("*", nil, "secretsmanager:ListSecrets") // of an action whose event names no secret
	}
	for _, cluster := range config.Clusters {
		add("*", map[string]string{"ecs:cluster": platform.cluster(cluster)}, "ecs:ListServices")
	}
	services := found.Services
	if services == nil {
		services = platform.services(config)
	}
	for _, service := range services {
		add(service, map[string]string{"ecs:cluster": platform.cluster(clusterOf(service))}, "ecs:DescribeServices")
		add(service, nil, "ecs:UpdateService") // it has no such key
	}
	add("*", nil, "ecs:DescribeTaskDefinition")
	return all
}

// platform is where a function runs: the partition, region and account of its secrets.
type platform struct{ partition, region, account string }

func platformOf(secretARN string) platform {
	parts := append(strings.Split(secretARN, ":"), make([]string, 5)...)
	return platform{parts[1], parts[3], parts[4]}
}

// encryption has the condition keys of Secrets Manager when it uses a key on the role's behalf.
func (p platform) encryption(secret string) map[string]string {
	return map[string]string{
		"kms:EncryptionContext:SecretARN": secret,
		"kms:ViaService":                  "secretsmanager." + p.region + ".amazonaws.com",
	}
}

func (p platform) ecs(resource string) string {
	return strings.Join([]string{"arn", p.partition, "ecs", p.region, p.account, resource}, ":")
}

// cluster is the ARN of a cluster that is given by its name or ARN.
func (p platform) cluster(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return p.ecs("cluster/" + name)
}

// services are the ARNs of those that a configuration names, or of all that may be in a cluster that it names.
func (p platform) services(config Config) []string {
	var all []string
	for _, cluster := range config.Clusters {
		all = append(all, strings.Replace(p.cluster(cluster), ":cluster/", ":service/", 1)+"/*")
	}
	for _, ref := range config.Services {
		arn := ref.Service
		if !strings.HasPrefix(arn, "arn:") {
			arn = strings.Replace(p.cluster(ref.Cluster), ":cluster/", ":service/", 1) + "/" + ref.Service
		}
		all = append(all, arn)
	}
	return slices.Compact(all)
}

// clusterOf is the name of the cluster in the ARN of a service.
func clusterOf(service string) string {
	_, resource, _ := strings.Cut(service, ":service/")
	cluster, _, _ := strings.Cut(resource, "/")
	return cmp.Or(cluster, "default")
}
