// Package gcp checks an installation on Google Cloud: the deployed function, the Cloud Scheduler job that calls it, and,
// with the function's own code and configuration, its clusters and Maia. All of its calls read.
package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"time"

	functions "cloud.google.com/go/functions/apiv2"
	"cloud.google.com/go/functions/apiv2/functionspb"
	"golang.org/x/oauth2"
	"google.golang.org/api/option"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// FunctionName is the form of a function's name.
var FunctionName = regexp.MustCompile(`^projects/([^/]+)/locations/([^/]+)/functions/([^/]+)$`)

// Checker checks an installation with an operator's credentials of Google Cloud.
type Checker struct {
	Tokens oauth2.TokenSource // of the operator

	// Impersonate gives tokens of the function's service account, with which clusters and the API credential are then read.
	// Nil reads them with Tokens.
	Impersonate func(ctx context.Context, email string) (oauth2.TokenSource, error)
	Kubeconfig  string                // path, if the function has one; it names another file there than here
	Options     []option.ClientOption // of the clients of Google's APIs
}

// Check checks a function, projects/P/locations/L/functions/F. An error means that not all could be checked.
func (c *Checker) Check(ctx context.Context, name string) (doctor.Report, error) {
	r := &run{checker: c, name: name}
	function, err := c.function(ctx, name)
	switch {
	case missing(err):
		r.report.Problem("function", "deploy it, or check its name, its region and its project", "there is no function %s", name)
		return r.report, nil
	case err != nil:
		return r.report, err
	}
	r.function, r.service = function, function.GetServiceConfig()
	r.checkFunction()
	r.checkJobs(ctx)
	return r.report, r.checkReleases(ctx)
}

// Plan finds out what the next call would do. An error means that this could not be found out.
func (c *Checker) Plan(ctx context.Context, name string) (doctor.Plan, error) {
	plan := doctor.Plan{Function: name}
	function, err := c.function(ctx, name)
	if err != nil {
		return plan, err
	}
	environ := c.environ(function.GetServiceConfig())
	config, err := rotation.ParseConfig(environ)
	if err != nil {
		plan.Error = rotate.AsError(err, rotate.NotObserved)
		return plan, nil
	}
	plan.Every = config.Policy.Every
	plan.Result, err = c.planOf(ctx, environ, function.GetServiceConfig())
	return plan, err
}

// function reads a function of the second generation.
func (c *Checker) function(ctx context.Context, name string) (*functionspb.Function, error) {
	client, err := functions.NewFunctionRESTClient(ctx, c.options()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	function, err := client.GetFunction(ctx, &functionspb.GetFunctionRequest{Name: name})
	if err != nil {
		return nil, failure("cloudfunctions.functions.get", err)
	}
	return function, nil
}

func (c *Checker) options() []option.ClientOption {
	return append([]option.ClientOption{option.WithTokenSource(c.Tokens)}, c.Options...)
}

// environ is the function's environment, in the form of os.Environ, as far as it can be read: in place of a value that comes from
// a secret there is the secret's name.
func (c *Checker) environ(service *functionspb.ServiceConfig) []string {
	variables := maps.Clone(service.GetEnvironmentVariables())
	if variables == nil {
		variables = map[string]string{}
	}
	for _, secret := range service.GetSecretEnvironmentVariables() {
		variables[secret.GetKey()] = fromSecret
	}
	if variables["KUBECONFIG"] != "" && c.Kubeconfig != "" {
		variables["KUBECONFIG"] = c.Kubeconfig
	}
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		environ = append(environ, name+"="+variables[name])
	}
	return environ
}

const fromSecret = "is-taken-from-a-secret"

// hidden reports whether the credential of the Maia API cannot be read.
func hidden(environ []string) bool {
	return slices.ContainsFunc(environ, func(variable string) bool {
		return variable == "MAIA_CLIENT_SECRET="+fromSecret || variable == "MAIA_CLIENT_ID="+fromSecret
	})
}

const whyHidden = "the Maia API credential reaches the function as a variable from a secret, which cannot be read; name the secret " +
	"in MAIA_CREDENTIALS_SECRET instead"

// planOf is what the function's own code reports of its runners, in the time that a call has.
func (c *Checker) planOf(ctx context.Context, environ []string, service *functionspb.ServiceConfig) (fleet.Result, error) {
	email, timeout := service.GetServiceAccountEmail(), time.Duration(service.GetTimeoutSeconds())*time.Second
	if hidden(environ) {
		return fleet.Result{}, errors.New(whyHidden)
	}
	tokens := c.Tokens
	if c.Impersonate != nil {
		var err error
		if tokens, err = c.Impersonate(ctx, email); err == nil {
			_, err = tokens.Token()
		}
		if err != nil {
			return fleet.Result{}, fmt.Errorf("no token of %s: your credentials need iam.serviceAccounts.getAccessToken on it (the role Service "+
				"Account Token Creator): %w", email, err)
		}
	}
	handler := rotation.New(environ, io.Discard)
	handler.WithCredential(tokens, c.Options...)
	planned, cancel := context.WithTimeout(context.WithoutCancel(ctx), function.WorkTime(timeout))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return handler.Plan(planned)
}

// run is one check of one function.
type run struct {
	checker  *Checker
	name     string
	report   doctor.Report
	function *functionspb.Function
	service  *functionspb.ServiceConfig
	environ  []string
	config   *rotation.Config // nil if it is wrong
}

func (r *run) part(n int) string { return FunctionName.FindStringSubmatch(r.name)[n] }
