// Command aws-lambda is the rotation function behind AWS Secrets Manager: the bootstrap of a provided.al2023 Lambda.
package main

import (
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
)

func main() {
	log := slog.New(lambdacontext.NewLogHandler())
	lambda.Start(rotation.New(os.Environ(), rotation.LoadAWS, log, os.Stdout))
}
