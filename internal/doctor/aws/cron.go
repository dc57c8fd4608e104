package aws

import (
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor/cron"
)

// cronFields are minutes, hours, day of month, month, day of week and year.
const cronFields = 6

// cronTimes are the hours, and the days, of a cron expression.
type cronTimes struct {
	hours, days, months []int
	weekdays            []int // from 1, Sunday
	lastDay             bool  // of the month, in place of days
}

var (
	monthNames   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdayNames = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

// parseCron reads all of the fields but the first and the last. It does not know W, #, and L for the last weekday of its kind.
func parseCron(fields []string) (times cronTimes, ok bool) {
	times.lastDay = fields[2] == "L"
	days := fields[2]
	if times.lastDay {
		days = "*"
	}
	for _, field := range []struct {
		text      string
		low, high int
		names     []string
		into      *[]int
	}{
		{fields[1], 0, 23, nil, &times.hours},
		{days, 1, 31, nil, &times.days},
		{fields[3], 1, 12, monthNames, &times.months},
		{fields[4], 1, 7, weekdayNames, &times.weekdays},
	} {
		*field.into = cron.Values(field.text, field.low, field.high, field.names)
		if *field.into == nil {
			return times, false
		}
	}
	return times, true
}

func (c cronTimes) lastHour() int { return c.hours[len(c.hours)-1] }

// gaps are the shortest and the longest time between two of the times; 0 if there are not two within four years.
func (c cronTimes) gaps() (shortest, longest time.Duration) {
	times := make([]time.Duration, len(c.hours))
	for i, hour := range c.hours {
		times[i] = time.Duration(hour) * time.Hour
	}
	return cron.Gaps(times, c.on)
}

func (c cronTimes) on(day time.Time) bool {
	return slices.Contains(c.months, int(day.Month())) && slices.Contains(c.days, day.Day()) &&
		slices.Contains(c.weekdays, int(day.Weekday())+1) && (!c.lastDay || day.AddDate(0, 0, 1).Day() == 1)
}
