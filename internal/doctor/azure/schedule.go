package azure

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor/cron"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const scheduleSetting = "ROTATION_SCHEDULE"

// The fields of an NCRONTAB expression, as the library NCrontab reads them.
var ncrontab = []struct {
	name      string
	low, high int
	names     []string
}{
	{"second", 0, 59, nil},
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day", 1, 31, nil},
	{"month", 1, 12, []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
		"December"}},
	{"day of the week", 0, 6, []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}},
}

// timer is when a timer fires: at times of the day, on some days.
type timer struct {
	times []time.Duration
	on    func(day time.Time) bool
}

func parseTimer(schedule string) (timer, error) {
	fields := strings.Fields(schedule)
	if len(fields) != len(ncrontab) {
		return timer{}, fmt.Errorf("it has %d fields, expected six: second, minute, hour, day, month and day of the week", len(fields))
	}
	values := make([][]int, len(fields))
	for i, field := range ncrontab {
		if values[i] = cron.Values(fields[i], field.low, field.high, field.names); values[i] == nil || strings.Contains(fields[i], "?") {
			return timer{}, fmt.Errorf("its %s is %q, expected numbers from %d to %d, ranges, lists, or *", field.name, fields[i], field.low,
				field.high)
		}
	}
	var times []time.Duration
	for _, hour := range values[2] {
		for _, minute := range values[1] {
			for _, second := range values[0] {
				times = append(times, time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute+time.Duration(second)*time.Second)
			}
		}
	}
	return timer{times, func(day time.Time) bool {
		return slices.Contains(values[3], day.Day()) && slices.Contains(values[4], int(day.Month())) &&
			slices.Contains(values[5], int(day.Weekday()))
	}}, nil
}

const (
	rarest  = time.Hour   // a runner that is down waits for so long
	oftener = time.Minute // than this is of no use
)

func (r *run) judgeSchedule() {
	const check = "schedule"
	schedule, set := r.settings[scheduleSetting]
	hint := "call it every half an hour:\naz functionapp config appsettings set " + r.flags() + " --settings '" + scheduleSetting +
		"=0 */30 * * * *'"
	if !set || schedule == "" {
		r.report.Problem(check, hint, "%s is not set: the host cannot index the function, and nothing calls it", scheduleSetting)
		return
	}
	fires, err := parseTimer(schedule)
	var shortest, longest time.Duration
	if err == nil {
		shortest, longest = cron.Gaps(fires.times, fires.on)
	}
	switch {
	case err != nil:
		r.report.Problem(check, hint, "%s is %q, which is not a schedule: %v", scheduleSetting, schedule, err)
	case longest == 0:
		r.report.Problem(check, hint, "%s is %q: it never comes, or once in four years", scheduleSetting, schedule)
	case longest > rarest:
		r.report.Warn(check, hint, "%s is %q: up to %s pass between two calls, for so long a runner that is down waits", scheduleSetting,
			schedule, longest)
	case shortest < oftener:
		r.report.Warn(check, hint, "%s is %q: it comes after %s, and each call asks Azure and Maia for every runner", scheduleSetting, schedule,
			shortest)
	default:
		r.report.OK(check, "%s, in UTC", schedule)
	}
}

// judgeWindow checks that the timer falls into the window, in UTC as the host counts.
func (r *run) judgeWindow() {
	fires, err := parseTimer(r.settings[scheduleSetting])
	if r.config == nil || err != nil {
		return
	}
	r.report.Window(r.config.Policy.Window, fleet.Needed(r.config.Policy, containerapp.StoreTime),
		cron.Calls(time.Now().UTC(), fires.times, fires.on))
}
