package ecs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Failure gives an error of an AWS call its kind and names the operation and the resource.
func Failure(operation, resource string, err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%s %s: %w", operation, resource, err)
	}
	code, message := api.ErrorCode(), api.ErrorMessage()
	kind, todo := rotate.Internal, ""
	switch {
	case code == "DecryptionFailure":
		kind, todo = rotate.Permission, "allow the function's role kms:Decrypt with the key of the secret"
	case code == "UnrecognizedClientException", code == "InvalidClientTokenId", code == "ExpiredTokenException":
		kind, todo = rotate.Permission, "check the function's AWS credentials"
	case strings.Contains(code, "AccessDenied") && operation == "DescribeTaskDefinition":
		kind, todo = rotate.Permission, "allow the function's role ecs:DescribeTaskDefinition on * (IAM knows no narrower resource for it)"
	case strings.Contains(code, "AccessDenied"):
		kind, todo = rotate.Permission, fmt.Sprintf("allow the function's role %s on %s", action(operation), resource)
	case code == "ClusterNotFoundException", code == "ServiceNotFoundException":
		kind, todo = rotate.Configuration, "check the cluster and service that the function is configured with"
	case code == "ResourceNotFoundException":
		kind, todo = rotate.Configuration, "check that it exists, in the function's own region and account"
	case strings.Contains(code, "Throttl"), code == "TooManyRequestsException", code == "LimitExceededException":
		kind = rotate.NotReady
	}
	typed := rotate.Errorf(kind, "%s %s: %s: %s", operation, resource, code, message)
	typed.Todo, typed.Err = todo, err
	return typed
}

// action is the IAM action of an operation.
func action(operation string) string {
	switch operation {
	case "ListServices", "DescribeServices", "DescribeTaskDefinition", "UpdateService":
		return "ecs:" + operation
	}
	return "secretsmanager:" + operation
}

// hasCode says whether an AWS call failed with this code.
func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}
