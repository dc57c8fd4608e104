package gcp

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/functions/apiv2/functionspb"
	"google.golang.org/api/cloudscheduler/v1"

	"github.com/maia-rotate/maia-rotate/internal/doctor/cron"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const (
	jobCheck        = "job"
	defaultDeadline = 3 * time.Minute // of an attempt
)

// checkJobs checks the Cloud Scheduler jobs of the function's region that call it.
func (r *run) checkJobs(ctx context.Context) {
	const permission = "cloudscheduler.jobs.list"
	client, err := cloudscheduler.NewService(ctx, r.checker.options()...)
	var found []*cloudscheduler.Job
	if err == nil {
		err = client.Projects.Locations.Jobs.List(fmt.Sprintf("projects/%s/locations/%s", r.part(1), r.part(2))).Pages(ctx,
			func(page *cloudscheduler.ListJobsResponse) error {
				for _, job := range page.Jobs {
					if job.HttpTarget != nil && slices.Contains(r.urls(), trimmed(job.HttpTarget.Uri)) {
						found = append(found, job)
					}
				}
				return nil
			})
	}
	switch {
	case err != nil:
		r.report.Warn(jobCheck, "check with credentials that allow "+permission, "could not be tested: %v", failure(permission, err))
	case len(found) == 0:
		r.report.Warn(jobCheck, "make one, as deploy/gcp/terraform does",
			"no Cloud Scheduler job of this region calls the function: unless something else does, nothing is rotated and nothing is healed")
	}
	for _, job := range found {
		r.judgeJob(job)
	}
	if r.config != nil {
		r.report.Window(r.config.Policy.Window, fleet.Needed(r.config.Policy, rotate.DefaultStoreTime), callsOf(found))
	}
}

// callsOf are the calls that jobs make in a year; nil if one of them has a schedule that is not understood here, like those in words.
func callsOf(jobs []*cloudscheduler.Job) iter.Seq[time.Time] {
	var all []iter.Seq[time.Time]
	for _, job := range jobs {
		calls, ok := parseSchedule(job.Schedule, job.TimeZone)
		if !ok {
			return nil
		}
		all = append(all, calls)
	}
	return func(yield func(time.Time) bool) {
		for _, calls := range all {
			for call := range calls {
				if !yield(call) {
					return
				}
			}
		}
	}
}

// parseSchedule reads a schedule of five fields, as crontab does: where both the day of the month and that of the week are said, either
// will do.
func parseSchedule(schedule, zone string) (iter.Seq[time.Time], bool) {
	place, err := time.LoadLocation(zone)
	fields := strings.Fields(schedule)
	if err != nil || len(fields) != 5 {
		return nil, false
	}
	months := []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
		"December"}
	weekdays := []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	minutes, hours := cron.Values(fields[0], 0, 59, nil), cron.Values(fields[1], 0, 23, nil)
	days, month, weekday := cron.Values(fields[2], 1, 31, nil), cron.Values(fields[3], 1, 12, months), cron.Values(fields[4], 0, 7, weekdays)
	if minutes == nil || hours == nil || days == nil || month == nil || weekday == nil {
		return nil, false
	}
	var times []time.Duration
	for _, hour := range hours {
		for _, minute := range minutes {
			times = append(times, time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute)
		}
	}
	return cron.Calls(time.Now().In(place), times, func(day time.Time) bool {
		inMonth := slices.Contains(days, day.Day())
		inWeek := slices.Contains(weekday, int(day.Weekday())) || day.Weekday() == time.Sunday && slices.Contains(weekday, 7)
		if fields[2] != "*" && fields[4] != "*" {
			return slices.Contains(month, int(day.Month())) && (inMonth || inWeek)
		}
		return slices.Contains(month, int(day.Month())) && inMonth && inWeek
	}), true
}

// urls are those of the function.
func (r *run) urls() []string { return []string{r.service.GetUri(), trimmed(r.function.GetUrl())} }

func trimmed(url string) string { return strings.TrimSuffix(url, "/") }

func (r *run) judgeJob(job *cloudscheduler.Job) {
	name := job.Name[strings.LastIndex(job.Name, "/")+1:]
	command := func(verb, flags string) string {
		return strings.TrimSpace(fmt.Sprintf("gcloud scheduler jobs %s %s --project %s --location %s %s", verb, name, r.part(1), r.part(2),
			flags))
	}
	bad := false
	problem := func(hint, text string) { r.report.Problem(jobCheck, hint, "%s: %s", name, text); bad = true }
	warn := func(hint, text string) { r.report.Warn(jobCheck, hint, "%s: %s", name, text); bad = true }

	deadline := defaultDeadline
	if given, err := time.ParseDuration(job.AttemptDeadline); err == nil {
		deadline = given
	}
	timeout := time.Duration(r.service.GetTimeoutSeconds()) * time.Second
	if job.State != "ENABLED" {
		problem("resume it:\n"+command("resume", ""), "is "+job.State)
	}
	if token := job.HttpTarget.OidcToken; token == nil {
		problem("let it send one:\n"+command("update http", "--oidc-service-account-email EMAIL --oidc-token-audience "+r.service.GetUri()),
			"sends no OIDC token, without which it is refused")
	} else if token.Audience != "" && !slices.Contains(r.urls(), trimmed(token.Audience)) {
		problem("correct it:\n"+command("update http", "--oidc-token-audience "+r.service.GetUri()),
			fmt.Sprintf("its token's audience is %s, expected the function's URL", token.Audience))
	}
	if trimmed(job.HttpTarget.Uri) != r.service.GetUri() && r.service.GetIngressSettings() == functionspb.ServiceConfig_ALLOW_INTERNAL_ONLY {
		problem("call the URL of its service:\n"+command("update http", "--uri "+r.service.GetUri()),
			"calls "+job.HttpTarget.Uri+", which is not internal, and the function takes internal calls only")
	}
	if deadline < min(timeout, longestWait) {
		warn("let it wait as long:\n"+command("update http", fmt.Sprintf("--attempt-deadline %.0fs", min(timeout, longestWait).Seconds())),
			fmt.Sprintf("waits %s for an answer, and the function may take %s: it takes a call that still works for a failed one", deadline,
				timeout))
	}
	if minute, _, _ := strings.Cut(job.Schedule, " "); minute != "every" && !strings.ContainsAny(minute, "*,/") {
		warn("call it more often:\n"+command("update http", `--schedule "*/30 * * * *"`),
			fmt.Sprintf("its schedule %q calls the function once an hour at most: a runner that is down waits for so long", job.Schedule))
	}
	if status := job.Status; status != nil && status.Code != 0 {
		warn("check the function's log", fmt.Sprintf("its last call failed (code %d), at %s", status.Code, job.LastAttemptTime))
	}
	if !bad {
		r.report.OK(jobCheck, "%s calls it: %s %s", name, job.Schedule, job.TimeZone)
	}
}
