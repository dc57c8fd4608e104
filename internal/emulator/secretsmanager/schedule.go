package secretsmanager

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// minHours is the shortest time between two scheduled rotations.
const minHours = 4

type rotationRules struct {
	AutomaticallyAfterDays *int64 `json:",omitempty"`
	Duration               string `json:",omitempty"`
	ScheduleExpression     string `json:",omitempty"`
}

var (
	rateExpression = regexp.MustCompile(`^rate\(([1-9][0-9]{0,3}) (hours?|days?)\)$`)
	cronExpression = regexp.MustCompile(`^cron\((.*)\)$`)
	duration       = regexp.MustCompile(`^([1-9][0-9]?)h$`)
)

// check checks the rules of a schedule.
func (r *rotationRules) check() error {
	if r == nil {
		return nil
	}
	invalid := func(why string) error {
		return awsjson.Errorf("InvalidParameterException", "Invalid rotation rules: %s", why)
	}
	days := r.AutomaticallyAfterDays
	if days != nil && r.ScheduleExpression != "" {
		return invalid("AutomaticallyAfterDays and ScheduleExpression exclude each other")
	}
	if days != nil && (*days < 1 || *days > 1000) {
		return invalid("AutomaticallyAfterDays must be between 1 and 1000")
	}
	every := 24 // hours between two rotations, at least
	if e := r.ScheduleExpression; e != "" {
		if every = hoursBetween(e); every < minHours {
			return invalid("ScheduleExpression must be a rate() of 4 hours or more, or a cron() of six fields with minute 0, year * and hours at " +
				"least 4 apart")
		}
	}
	if r.Duration != "" {
		m := duration.FindStringSubmatch(r.Duration)
		if m == nil {
			return invalid("Duration must be a number of hours, such as 3h")
		}
		if hours, _ := strconv.Atoi(m[1]); hours > min(every, 24) {
			return invalid("the window must not reach into the next one or the next UTC day")
		}
	}
	return nil
}

// hoursBetween returns the fewest hours between two rotations of the schedule, or 0 if it is not a valid one.
func hoursBetween(expression string) int {
	if m := rateExpression.FindStringSubmatch(expression); m != nil {
		n, _ := strconv.Atoi(m[1])
		plural := strings.HasSuffix(m[2], "s")
		days := strings.HasPrefix(m[2], "day")
		switch {
		case plural == (n == 1), n > 999 && days: // rate(1 days) and rate(2 day) are invalid
			return 0
		case days:
			return n * 24
		default:
			return n
		}
	}
	m := cronExpression.FindStringSubmatch(expression)
	if m == nil {
		return 0
	}
	// Minutes, hours, day of month, month, day of week, year.
	fields := strings.Fields(m[1])
	if len(fields) != 6 || fields[0] != "0" || fields[5] != "*" {
		return 0
	}
	// A day is given in the month or in the week, and the other is "?".
	if (fields[2] == "?") == (fields[4] == "?") {
		return 0
	}
	return hourGap(cronHours(fields[1]))
}

// cronHours returns the hours of a cron field, such as "8", "0/4" or "2,14".
func cronHours(field string) []int { return cronValues(field, 0, 23, nil) }

// cronValues returns the values of a cron field between the two bounds, nil if
// it is not valid. The names, if there are any, stand for the values from low.
func cronValues(field string, low, high int, names []string) []int {
	number := func(text string) (int, error) {
		if i := slices.Index(names, strings.ToUpper(text)); i >= 0 {
			return low + i, nil
		}
		return strconv.Atoi(text)
	}
	var values []int
	for part := range strings.SplitSeq(field, ",") {
		start, stepText, stepped := strings.Cut(part, "/")
		first, last, step := low, high, 1
		var err error
		if stepped {
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
				return nil
			}
		}
		if start != "*" && start != "" {
			from, to, isRange := strings.Cut(start, "-")
			if first, err = number(from); err != nil {
				return nil
			}
			switch {
			case isRange:
				if last, err = number(to); err != nil {
					return nil
				}
			case !stepped:
				last = first
			}
		} else if start == "" && !stepped {
			return nil
		}
		if first < low || last > high || first > last {
			return nil
		}
		for v := first; v <= last; v += step {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// hourGap returns the shortest way between two of the hours, around midnight too.
func hourGap(hours []int) int {
	if len(hours) == 0 {
		return 0
	}
	gap := hours[0] + 24 - hours[len(hours)-1]
	for i := 1; i < len(hours); i++ {
		gap = min(gap, hours[i]-hours[i-1])
	}
	return gap
}
