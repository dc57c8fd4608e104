package aws

import (
	"slices"
	"strconv"
	"strings"
	"time"
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

// parseCron reads all of the fields but the first and the last. It does not know W, #, and L for the last weekday of its
// kind.
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
		*field.into = cronValues(field.text, field.low, field.high, field.names)
		if *field.into == nil {
			return times, false
		}
	}
	return times, true
}

// cronValues are the values of a field between two bounds, in their order; nil if it is not understood.
func cronValues(field string, low, high int, names []string) []int {
	number := func(text string) (int, bool) {
		if i := slices.Index(names, strings.ToUpper(text)); i >= 0 {
			return low + i, true
		}
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= low && n <= high
	}
	var values []int
	for item := range strings.SplitSeq(field, ",") {
		bounds, step, stepped := strings.Cut(item, "/")
		every := 1
		if stepped {
			n, err := strconv.Atoi(step)
			if err != nil || n < 1 {
				return nil
			}
			every = n
		}
		first, last := low, high
		if bounds != "*" && bounds != "?" {
			from, to, ranged := strings.Cut(bounds, "-")
			var ok bool
			if first, ok = number(from); !ok {
				return nil
			}
			if ranged {
				if last, ok = number(to); !ok {
					return nil
				}
			} else if !stepped {
				last = first
			}
		}
		for value := first; value <= last; value += every {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func (c cronTimes) lastHour() int { return c.hours[len(c.hours)-1] }

// gaps are the shortest and the longest time between two of the times; 0 if there are not two within four years.
func (c cronTimes) gaps() (shortest, longest time.Duration) {
	begin := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC) // a leap year
	var before time.Time
	for day := begin; day.Year() < begin.Year()+4; day = day.AddDate(0, 0, 1) {
		if !c.on(day) {
			continue
		}
		for _, hour := range c.hours {
			now := day.Add(time.Duration(hour) * time.Hour)
			if gap := now.Sub(before); !before.IsZero() {
				longest = max(longest, gap)
				if shortest == 0 {
					shortest = gap
				}
				shortest = min(shortest, gap)
			}
			before = now
		}
	}
	return shortest, longest
}

func (c cronTimes) on(day time.Time) bool {
	return slices.Contains(c.months, int(day.Month())) && slices.Contains(c.days, day.Day()) &&
		slices.Contains(c.weekdays, int(day.Weekday())+1) && (!c.lastDay || day.AddDate(0, 0, 1).Day() == 1)
}
