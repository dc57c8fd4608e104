package gcp

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/functions/apiv2/functionspb"

	gcpfunction "github.com/maia-rotate/maia-rotate/functions/gcp"
	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const (
	leastMemory = 256 << 20 // bytes; a whole upgrade takes a third of it, and a chart may take as much
	longestWait = 30 * time.Minute
)

func (r *run) checkFunction() {
	r.judgeState()
	r.judgeBuild()
	r.readEnvironment()
	r.judgeTimeout()
	r.judgeInstances()
	r.judgeMemory()
	r.judgeIngress()
	r.judgeServiceAccount()
}

func (r *run) judgeState() {
	const check = "function"
	var said []string
	for _, message := range r.function.GetStateMessages() {
		said = append(said, message.GetMessage())
	}
	state := r.function.GetState()
	text := strings.TrimSuffix(fmt.Sprintf("%s is %s: %s", r.part(3), state, strings.Join(said, "; ")), ": ")
	switch {
	case r.function.GetEnvironment() != functionspb.Environment_GEN_2:
		r.report.Problem(check, "deploy it with --gen2, or with the Terraform module", "%s is a function of the first generation", r.part(3))
	case state == functionspb.Function_DEPLOYING:
		r.report.Warn(check, "wait, and check again", "%s", text)
	case state != functionspb.Function_ACTIVE:
		r.report.Problem(check, "check its build, and deploy it again", "%s", text)
	case len(said) > 0:
		r.report.Warn(check, "", "%s", text)
	default:
		r.report.OK(check, "%s", text)
	}
}

func (r *run) judgeBuild() {
	const check = "build"
	runtime, entry := r.function.GetBuildConfig().GetRuntime(), r.function.GetBuildConfig().GetEntryPoint()
	version, err := strconv.Atoi(strings.TrimPrefix(runtime, "go1"))
	switch {
	case entry != gcpfunction.EntryPoint:
		r.report.Problem(check, "deploy the bundle of maia-rotate package gcp with the entry point "+gcpfunction.EntryPoint,
			"the entry point is %q, expected %s: it is another function than this project's", entry, gcpfunction.EntryPoint)
	case !strings.HasPrefix(runtime, "go1") || err != nil || version < 26:
		r.report.Problem(check, "deploy it with the runtime go126 or later", "the runtime is %q, expected go126 or later", runtime)
	default:
		r.report.OK(check, "%s, on %s", entry, runtime)
	}
}

func (r *run) readEnvironment() {
	const check = "environment"
	r.environ = r.checker.environ(r.service)
	if r.service.GetEnvironmentVariables()["MAIA_CLIENT_SECRET"] != "" {
		r.report.Warn("plain-secret", "keep it in Secret Manager, and name its version in MAIA_CREDENTIALS_SECRET",
			"the secret of the Maia API credential is in the function's environment, where whoever may read the function can see it")
	}
	config, err := rotation.ParseConfig(r.environ)
	if err != nil {
		typed := rotate.AsError(err, "")
		r.report.Problem(check, cmp.Or(typed.Hint, "correct the function's environment"), "%s", typed.What)
		return
	}
	r.config = &config
	names := make([]string, len(config.Releases))
	for i, release := range config.Releases {
		names[i] = release.String()
	}
	r.report.OK(check, "right; it serves %s", strings.Join(names, ", "))
	if len(config.AgentIDs) == 0 {
		r.report.Warn("agents", "set MAIA_AGENT_IDS", "any agent that the release names is served: whoever may change the release decides which")
	}
}

// judgeTimeout checks that a rotation fits into a call.
func (r *run) judgeTimeout() {
	const check = "timeout"
	timeout := time.Duration(r.service.GetTimeoutSeconds()) * time.Second
	hint := "deploy it with --timeout 1800 (timeout_seconds of the Terraform module)"
	policy := rotate.DefaultPolicy()
	if r.config != nil {
		policy = r.config.Policy
	}
	needed := fleet.Needed(policy, rotate.DefaultStoreTime)
	switch {
	case function.WorkTime(timeout) <= needed:
		r.report.Problem(check, hint, "its time-out is %s, and a rotation may take %s (drain, store and connect): none is ever begun", timeout,
			needed)
	case timeout > longestWait:
		r.report.Warn(check, hint, "its time-out is %s, and Cloud Scheduler waits 30 minutes at most: how a longer call ends is only in the "+
			"function's log", timeout)
	default:
		r.report.OK(check, "%s, of which a rotation may take %s", timeout, needed)
	}
}

func (r *run) judgeInstances() {
	const check = "instances"
	most, requests := r.service.GetMaxInstanceCount(), r.service.GetMaxInstanceRequestConcurrency()
	if most == 1 && requests == 1 {
		r.report.OK(check, "one, which takes one request")
		return
	}
	r.report.Warn(check, "deploy it with --max-instances 1 --concurrency 1, as the Terraform module does",
		"%s, each with up to %d requests: calls at the same time are kept apart by the lock in the cluster alone", instances(most), requests)
}

func instances(most int32) string {
	if most == 0 {
		return "any number of instances"
	}
	return fmt.Sprintf("up to %d instances", most)
}

var quantity = regexp.MustCompile(`^([0-9]+)([KMG]?)i?B?$`)

func (r *run) judgeMemory() {
	const check = "memory"
	text := r.service.GetAvailableMemory()
	parts := quantity.FindStringSubmatch(text)
	if parts == nil {
		r.report.Warn(check, "", "%q cannot be read, expected a size like 512Mi", text)
		return
	}
	size, err := strconv.ParseInt(parts[1], 10, 32)
	size <<= map[string]int{"": 0, "K": 10, "M": 20, "G": 30}[parts[2]]
	if err == nil && size < leastMemory {
		r.report.Problem(check, "deploy it with --memory 512Mi, as the Terraform module does",
			"%s, expected 256Mi or more: it may be killed in the middle of a rotation", text)
		return
	}
	r.report.OK(check, "%s", text)
}

func (r *run) judgeIngress() {
	const check = "ingress"
	if r.service.GetIngressSettings() == functionspb.ServiceConfig_ALLOW_ALL {
		r.report.Warn(check, "deploy it with --ingress-settings internal-only, as the Terraform module does",
			"anybody on the internet reaches it, and only IAM keeps them out")
		return
	}
	r.report.OK(check, "%s", r.service.GetIngressSettings())
}

func (r *run) judgeServiceAccount() {
	const check = "service-account"
	email := r.service.GetServiceAccountEmail()
	if strings.HasSuffix(email, "-compute@developer.gserviceaccount.com") || strings.HasSuffix(email, "@appspot.gserviceaccount.com") {
		r.report.Warn(check, "make one for it alone, and deploy it with that",
			"%s is the project's default account, which others share and which may have many rights", email)
		return
	}
	r.report.OK(check, "%s", email)
}

// ready reports whether the function's own code can be run here.
func (r *run) ready() bool {
	return r.config != nil && !slices.ContainsFunc(r.report.Findings, func(f doctor.Finding) bool {
		return f.Level == doctor.Problem &&
			f.Check == "build"
	})
}
