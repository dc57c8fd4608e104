package aws

import "fmt"

// cli is a command of the AWS CLI, in the region of the secret.
func (r *run) cli(format string, args ...any) string {
	return "aws " + fmt.Sprintf(format, args...) + " --region " + part(r.arn, partRegion)
}

func (r *run) functionName() string { return part(r.functionARN(), partName) }

// permit allows a service to invoke the function, on a condition.
func (r *run) permit(id, service, condition string) string {
	name := r.functionName()
	if alias := part(r.functionARN(), partQualifier); alias != "" {
		name += " --qualifier " + alias
	}
	return r.cli("lambda add-permission --function-name %s --statement-id %s --action %s --principal %s %s", name, id, actionInvoke, service,
		condition)
}

// permitRotation allows Secrets Manager to invoke the function for the secrets of this account.
func (r *run) permitRotation() string {
	return r.permit("SecretsManager", secretsManager, "--source-account "+part(r.arn, partAccount))
}

func (r *run) heal() string {
	return r.cli(`lambda invoke --function-name %s --cli-binary-format raw-in-base64-out --cli-read-timeout 900 `+
		`--payload '{"action":"heal","secret":"%s"}' /dev/stdout`,
		r.functionName(), r.arn)
}
