package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	doctoraws "github.com/maia-rotate/maia-rotate/internal/doctor/aws"
)

// awsTimeout is how long one try of a call to AWS may take.
const awsTimeout = 15 * time.Second

// awsOptions are those of the commands that check an installation on AWS.
type awsOptions struct {
	secret, region, profile string
	json                    bool
}

func (o *awsOptions) flags(command *cobra.Command) {
	command.Flags().StringVar(&o.secret, "secret", "", "the `ARN` of the runner's secret (required)")
	command.Flags().StringVar(&o.region, "region", "", "the AWS `region`, if it is not that of the ARN")
	command.Flags().StringVar(&o.profile, "profile", "", "the `name` of a profile of the AWS configuration")
	command.Flags().BoolVar(&o.json, "json", false, "print one JSON document")
}

// checker makes what checks the installation, with the operator's AWS credentials.
func (o *awsOptions) checker(ctx context.Context) (*doctoraws.Checker, error) {
	if o.secret == "" {
		return nil, usageError{errors.New("--secret is not set: it is the ARN of the runner's secret")}
	}
	secret, err := arn.Parse(o.secret)
	if err != nil || secret.Service != "secretsmanager" || secret.Region == "" || secret.AccountID == "" ||
		!strings.HasPrefix(secret.Resource, "secret:") {
		return nil, usageError{fmt.Errorf("--secret is %q, expected the ARN of a secret of Secrets Manager", o.secret)}
	}
	config, err := awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithRegion(cmp.Or(o.region, secret.Region)),
		awsconfig.WithSharedConfigProfile(o.profile),
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(awsTimeout)),
	)
	if err != nil {
		return nil, notCarriedOut{err}
	}
	return doctoraws.New(config), nil
}

// shortSecret names a secret for a person.
func shortSecret(secretARN string) string {
	secret, err := arn.Parse(secretARN)
	if err != nil {
		return secretARN
	}
	return fmt.Sprintf("%s in %s, account %s", strings.TrimPrefix(secret.Resource, "secret:"), secret.Region, secret.AccountID)
}
