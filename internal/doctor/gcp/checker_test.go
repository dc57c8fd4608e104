package gcp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"cloud.google.com/go/functions/apiv2/functionspb"
	"golang.org/x/oauth2"
	"google.golang.org/api/cloudscheduler/v1"
	"google.golang.org/api/container/v1"
	"google.golang.org/api/option"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/doctor/gcp"
	"github.com/maia-rotate/maia-rotate/internal/emulator/googleapis"
)

const (
	place    = "projects/ops-1234/locations/europe-west1"
	name     = place + "/functions/maia-rotate"
	url      = "https://maia-rotate-abc-ew.a.run.app"
	email    = "maia-rotate@ops-1234.iam.gserviceaccount.com"
	cluster  = "projects/ops-1234/locations/europe-west1/clusters/runner"
	version  = "projects/ops-1234/secrets/maia-api/versions/latest"
	apiValue = "the-secret-of-the-api-credential"
)

// installation is one that is in order, but for its cluster, which has no endpoint yet.
type installation struct {
	googleapis.Server
	function *functionspb.Function
	job      *cloudscheduler.Job
}

func install() *installation {
	i := &installation{
		function: &functionspb.Function{
			Name: name, State: functionspb.Function_ACTIVE, Environment: functionspb.Environment_GEN_2,
			Url:         "https://europe-west1-ops-1234.cloudfunctions.net/maia-rotate",
			BuildConfig: &functionspb.BuildConfig{Runtime: "go126", EntryPoint: "RotateRunnerSecrets"},
			ServiceConfig: &functionspb.ServiceConfig{
				TimeoutSeconds: 1800, AvailableMemory: "512Mi", MaxInstanceCount: 1, MaxInstanceRequestConcurrency: 1, Uri: url,
				IngressSettings: functionspb.ServiceConfig_ALLOW_INTERNAL_ONLY, ServiceAccountEmail: email,
				EnvironmentVariables: map[string]string{
					"MAIA_HELM_RELEASES": cluster, "MAIA_AGENT_IDS": "7d3a1c52-94be-4f0a-8a6d-2b5c90e1f374", "MAIA_CREDENTIALS_SECRET": version,
					"LOG_EXECUTION_ID": "true", // as the platform sets it
				},
			},
		},
		job: &cloudscheduler.Job{
			Name: place + "/jobs/maia-rotate", State: "ENABLED", Schedule: "*/30 * * * *", TimeZone: "Etc/UTC", AttemptDeadline: "1800s",
			HttpTarget: &cloudscheduler.HttpTarget{Uri: url + "/", OidcToken: &cloudscheduler.OidcToken{Audience: url}},
		},
	}
	i.Server = googleapis.Server{
		Token:     "operator",
		Functions: map[string]*functionspb.Function{name: i.function},
		Jobs: map[string][]*cloudscheduler.Job{place: {{Name: place + "/jobs/other",
			HttpTarget: &cloudscheduler.HttpTarget{Uri: "https://elsewhere.example"}}, i.job}},
		Clusters: map[string]*container.Cluster{cluster: {Status: "PROVISIONING"}},
		Secrets:  map[string]string{version: fmt.Sprintf(`{"client_id":"api","client_secret":%q}`, apiValue)},
	}
	return i
}

// serve gives what checks the installation.
func (i *installation) serve(t *testing.T) *gcp.Checker {
	t.Helper()
	server := httptest.NewServer(&i.Server)
	t.Cleanup(server.Close)
	return &gcp.Checker{
		Tokens:  oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "operator"}),
		Options: []option.ClientOption{option.WithEndpoint(server.URL)},
	}
}

// always are the findings that are not in order in every installation here: see [installation].
var always = []string{"warning release", "warning rights"}

func notOK(report doctor.Report) (all []string) {
	for _, finding := range report.Findings {
		if finding.Level != doctor.OK {
			all = append(all, string(finding.Level)+" "+finding.Check)
		}
	}
	return all
}

func TestFunctionAndJob(t *testing.T) {
	for title, test := range map[string]struct {
		break_ func(i *installation)
		wants  []string // next to those that are always there
		words  string   // of what is not in order
	}{
		"in order": {func(*installation) {}, nil, "has no endpoint yet"},
		"no function": {
			func(i *installation) { delete(i.Functions, name) },
			[]string{"problem function", "-warning release", "-warning rights"}, "there is no function",
		},
		"first generation": {
			func(i *installation) { i.function.Environment = functionspb.Environment_GEN_1 },
			[]string{"problem function"}, "first generation",
		},
		"failed": {
			func(i *installation) {
				i.function.State, i.function.StateMessages = functionspb.Function_FAILED, []*functionspb.StateMessage{{Message: "Build failed"}}
			}, []string{"problem function"}, "FAILED: Build failed",
		},
		"being deployed": {func(i *installation) { i.function.State = functionspb.Function_DEPLOYING }, []string{"warning function"},
			"DEPLOYING"},
		"has something to say": {
			func(i *installation) { i.function.StateMessages = []*functionspb.StateMessage{{Message: "old image"}} }, []string{"warning function"},
			"old image",
		},
		"another entry point": {
			func(i *installation) { i.function.BuildConfig.EntryPoint = "Hello" },
			[]string{"problem build", "-warning release", "-warning rights"}, `the entry point is "Hello"`,
		},
		"old runtime": {
			func(i *installation) { i.function.BuildConfig.Runtime = "go125" },
			[]string{"problem build", "-warning release", "-warning rights"}, "go126 or later",
		},
		"Google's default time-out": {
			func(i *installation) { i.function.ServiceConfig.TimeoutSeconds = 60 },
			[]string{"problem timeout"}, "its time-out is 1m0s, and a rotation may take 14m0s",
		},
		"too short for its own drain": {
			func(i *installation) {
				i.function.ServiceConfig.EnvironmentVariables["MAIA_ROTATE_DRAIN_TIMEOUT"] = "25m"
			}, []string{"problem timeout"}, "a rotation may take 34m0s",
		},
		"longer than Scheduler waits": {func(i *installation) { i.function.ServiceConfig.TimeoutSeconds = 3600 }, []string{"warning timeout"},
			"waits 30 minutes at most"},
		"many instances": {func(i *installation) { i.function.ServiceConfig.MaxInstanceCount = 100 }, []string{"warning instances"},
			"up to 100 instances"},
		"many requests": {func(i *installation) { i.function.ServiceConfig.MaxInstanceRequestConcurrency = 80 },
			[]string{"warning instances"}, "80 requests"},
		"too little memory": {func(i *installation) { i.function.ServiceConfig.AvailableMemory = "128Mi" }, []string{"problem memory"},
			"128Mi"},
		"memory as gcloud says it": {func(i *installation) { i.function.ServiceConfig.AvailableMemory = "256M" }, nil, ""},
		"memory that is no size": {func(i *installation) { i.function.ServiceConfig.AvailableMemory = "much" }, []string{"warning memory"},
			"much"},
		"open to the internet": {
			func(i *installation) {
				i.function.ServiceConfig.IngressSettings = functionspb.ServiceConfig_ALLOW_ALL
			}, []string{"warning ingress"}, "anybody",
		},
		"default account": {
			func(i *installation) {
				i.function.ServiceConfig.ServiceAccountEmail = "123-compute@developer.gserviceaccount.com"
			}, []string{"warning service-account"}, "default account",
		},
		"wrong environment": {
			func(i *installation) { i.function.ServiceConfig.EnvironmentVariables["MAIA_ROTATE_EVERY"] = "30d" },
			[]string{"problem environment", "-warning release", "-warning rights"}, `MAIA_ROTATE_EVERY is "30d"`,
		},
		"no environment": {
			func(i *installation) { i.function.ServiceConfig.EnvironmentVariables = nil },
			[]string{"problem environment", "-warning release", "-warning rights"}, "is not set",
		},
		"any agent": {
			func(i *installation) { delete(i.function.ServiceConfig.EnvironmentVariables, "MAIA_AGENT_IDS") },
			[]string{"warning agents"}, "any agent",
		},
		"credential in the open": {
			func(i *installation) {
				variables := i.function.ServiceConfig.EnvironmentVariables
				delete(variables, "MAIA_CREDENTIALS_SECRET")
				variables["MAIA_CLIENT_ID"], variables["MAIA_CLIENT_SECRET"] = "api", apiValue
			}, []string{"warning plain-secret"}, "whoever may read the function",
		},
		"credential as a variable from a secret": {
			func(i *installation) {
				variables := i.function.ServiceConfig.EnvironmentVariables
				delete(variables, "MAIA_CREDENTIALS_SECRET")
				variables["MAIA_CLIENT_ID"] = "api"
				i.function.ServiceConfig.SecretEnvironmentVariables = []*functionspb.SecretEnvVar{{Key: "MAIA_CLIENT_SECRET", ProjectId: "ops-1234",
					Secret: "s", Version: "1"}}
			}, []string{"-warning release", "-warning rights"}, "",
		},
		"no rights in the cluster's project": {func(i *installation) { i.Denied = []string{rotation.GetCluster} }, nil, "with your rights"},
		"no cluster": {func(i *installation) { delete(i.Clusters, cluster) },
			[]string{"-warning release", "problem release"}, "read cluster"},
		"jobs may not be listed": {func(i *installation) { i.Denied = []string{"cloudscheduler.jobs.list"} }, []string{"warning job"},
			"do not allow cloudscheduler.jobs.list"},
		"no job":        {func(i *installation) { i.Jobs = nil }, []string{"warning job"}, "no Cloud Scheduler job"},
		"job is paused": {func(i *installation) { i.job.State = "PAUSED" }, []string{"problem job"}, "is PAUSED"},
		"job without a token": {func(i *installation) { i.job.HttpTarget.OidcToken = nil }, []string{"problem job"},
			"no OIDC token"},
		"job without an audience": {func(i *installation) { i.job.HttpTarget.OidcToken.Audience = "" }, nil, ""},
		"job for another function": {
			func(i *installation) { i.job.HttpTarget.OidcToken.Audience = "https://elsewhere.example" }, []string{"problem job"}, "audience",
		},
		"job calls the other URL": {func(i *installation) { i.job.HttpTarget.Uri = i.function.Url }, []string{"problem job"}, "is not internal"},
		"job has the default deadline": {
			func(i *installation) { i.job.AttemptDeadline = "" }, []string{"warning job"},
			"waits 3m0s for an answer, and the function may take 30m0s",
		},
		"job calls daily": {func(i *installation) { i.job.Schedule = "0 3 * * *" }, []string{"warning job"}, "once an hour at most"},
		"job failed": {func(i *installation) { i.job.Status = &cloudscheduler.Status{Code: 13} }, []string{"warning job"},
			"its last call failed (code 13)"},
		"a window":         {window("Sat 02:00-05:00 Europe/London", "*/30 * * * *"), nil, "a rotation needs"},
		"a short window":   {window("02:00-02:10", "*/30 * * * *"), []string{"problem window"}, "none that is due by its age is ever begun"},
		"a missed window":  {window("Sat 02:00-05:00", "0,30 6-20 * * 1,3"), []string{"warning window"}, "no call comes in a year"},
		"a day or another": {window("Sat 02:00-05:00", "0,30 * 13 * 1,3"), nil, "a rotation needs"},
		"a day and words":  {window("Sat 02:00-05:00", "every 15 minutes"), nil, "whether a call falls into it was not checked"},
		"job in words":     {func(i *installation) { i.job.Schedule = "every 15 minutes" }, nil, ""},
		"job in two words": {func(i *installation) { i.job.Schedule = "0,30 * * * *" }, nil, ""},
	} {
		t.Run(title, func(t *testing.T) {
			i := install()
			test.break_(i)
			report, err := i.serve(t).Check(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			wants := map[string]bool{}
			for _, want := range append(always, test.wants...) {
				if without, removed := strings.CutPrefix(want, "-"); removed {
					delete(wants, without)
				} else {
					wants[want] = true
				}
			}
			for _, got := range notOK(report) {
				if !wants[got] {
					t.Errorf("found %s", got)
				}
				delete(wants, got)
			}
			for want := range wants {
				t.Errorf("not found: %s", want)
			}
			text := fmt.Sprintf("%+v", report)
			if !strings.Contains(text, test.words) {
				t.Errorf("%q is missing", test.words)
			}
			if strings.Contains(text, apiValue) {
				t.Error("the secret of the API credential is printed")
			}
			if unknown := i.Unknown(); len(unknown) > 0 {
				t.Errorf("asked for %v", unknown)
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

func TestNotCarriedOut(t *testing.T) {
	for title, test := range map[string]struct {
		change func(i *installation, c *gcp.Checker)
		words  string
	}{
		"no rights": {func(i *installation, _ *gcp.Checker) { i.Denied = []string{"cloudfunctions.functions.get"} },
			"your credentials do not allow cloudfunctions.functions.get"},
		"wrong token": {func(i *installation, _ *gcp.Checker) { i.Token = "another" },
			"your credentials do not allow cloudfunctions.functions.get"},
		"no tokens":    {func(_ *installation, c *gcp.Checker) { c.Tokens = none{} }, "no token"},
		"not its user": {func(_ *installation, c *gcp.Checker) { c.Impersonate = refused }, "no token of " + email},
	} {
		t.Run(title, func(t *testing.T) {
			i := install()
			checker := i.serve(t)
			test.change(i, checker)
			if _, err := checker.Check(t.Context(), name); err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("Check: %v", err)
			}
			if _, err := checker.Plan(t.Context(), name); err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("Plan: %v", err)
			}
		})
	}
}

type none struct{}

func (none) Token() (*oauth2.Token, error) { return nil, errors.New("no token") }

func refused(context.Context, string) (oauth2.TokenSource, error) { return none{}, nil }

// A right that the function lacks is a problem; one that only the operator lacks is none.
func TestAsTheFunction(t *testing.T) {
	i := install()
	i.Denied = []string{rotation.GetCluster}
	checker := i.serve(t)
	var asked string
	checker.Impersonate = func(_ context.Context, email string) (oauth2.TokenSource, error) {
		asked = email
		return checker.Tokens, nil
	}
	report, err := checker.Check(t.Context(), name)
	if err != nil || asked != email {
		t.Fatalf("asked for %s: %v", asked, err)
	}
	if got := strings.Join(notOK(report), ", "); got != "problem release" {
		t.Errorf("found %s", got)
	}
}

func TestPlanOfAWrongEnvironment(t *testing.T) {
	i := install()
	delete(i.function.ServiceConfig.EnvironmentVariables, "MAIA_HELM_RELEASES")
	plan, err := i.serve(t).Plan(t.Context(), name)
	if err != nil || !plan.InTheWay() || !strings.Contains(plan.Error.What, "MAIA_HELM_RELEASES is not set") {
		t.Errorf("got %+v, %v", plan, err)
	}
}

// window sets one, and when the job calls.
func window(text, schedule string) func(*installation) {
	return func(i *installation) {
		i.function.ServiceConfig.EnvironmentVariables["MAIA_ROTATE_WINDOW"] = text
		i.job.Schedule = schedule
	}
}
