package secretsmanager

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// nextRotation returns the end of the window in which the next rotation is due, or no time if there is none or the schedule is
// one that is not understood here (L, W and # in a cron expression). It may be in the past: then the rotation that was due has
// not succeeded.
func (s *secret) nextRotation() time.Time {
	if !s.enabled || s.rules == nil {
		return time.Time{}
	}
	after := s.scheduled
	if s.rotated.After(after) {
		after = s.rotated
	}
	// For an interval in days any new value counts as a rotation.
	if v := s.holder(current); v != nil && s.rules.AutomaticallyAfterDays != nil && v.created.After(after) {
		after = v.created
	}
	return s.rules.next(after)
}

// next returns the last second of the first window that opens after a time.
func (r *rotationRules) next(after time.Time) time.Time {
	after = after.UTC()
	midnight := after.Truncate(day)
	var opens time.Time
	hourly := false // whether windows may follow each other on a day
	rate := rateExpression.FindStringSubmatch(r.ScheduleExpression)
	cron := cronExpression.FindStringSubmatch(r.ScheduleExpression)
	switch {
	case r.AutomaticallyAfterDays != nil:
		opens = midnight.AddDate(0, 0, int(*r.AutomaticallyAfterDays))
	case rate != nil:
		n, _ := strconv.Atoi(rate[1])
		if strings.HasPrefix(rate[2], "day") {
			opens = midnight.AddDate(0, 0, n)
			break
		}
		// The windows of a rate start at midnight.
		every := time.Duration(n) * time.Hour
		opens, hourly = midnight.Add((after.Sub(midnight)/every+1)*every), true
	case cron != nil:
		opens, hourly = nextCron(strings.Fields(cron[1]), after)
	}
	if opens.IsZero() {
		return opens
	}
	closes := opens.Truncate(day).Add(day)
	if m := duration.FindStringSubmatch(r.Duration); m != nil {
		hours, _ := strconv.Atoi(m[1])
		closes = opens.Add(time.Duration(hours) * time.Hour)
	} else if hourly {
		closes = opens.Add(time.Hour)
	}
	return closes.Add(-time.Second)
}

var (
	months   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

// nextCron returns the first time after another that the six fields name. Hourly is true if they name several hours of a day.
func nextCron(fields []string, after time.Time) (next time.Time, hourly bool) {
	anyDay := func(field string) string {
		if field == "?" {
			return "*"
		}
		return field
	}
	hours := cronHours(fields[1])
	ofMonth := cronValues(anyDay(fields[2]), 1, 31, nil)
	month := cronValues(fields[3], 1, 12, months)
	ofWeek := cronValues(anyDay(fields[4]), 1, 7, weekdays)
	const years = 8 // at most between two 29ths of February
	for d := after.Truncate(day); d.Sub(after) < years*366*day; d = d.Add(day) {
		if !slices.Contains(month, int(d.Month())) || !slices.Contains(ofMonth, d.Day()) || !slices.Contains(ofWeek, int(d.Weekday())+1) {
			continue
		}
		for _, h := range hours {
			if t := d.Add(time.Duration(h) * time.Hour); t.After(after) {
				return t, len(hours) > 1
			}
		}
	}
	return time.Time{}, false
}
