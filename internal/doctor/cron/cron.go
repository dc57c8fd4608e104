// Package cron reads the fields of cron expressions, which AWS and Azure write each in its own way, and works out how far
// apart the times are that they name.
package cron

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Values are the values of a field between two bounds, in their order; nil if it is not understood. The names are those of
// the values from the lower bound on; the beginning of one suffices.
func Values(field string, low, high int, names []string) []int {
	number := func(text string) (int, bool) {
		for i, name := range names {
			if text != "" && strings.HasPrefix(strings.ToUpper(name), strings.ToUpper(text)) {
				return low + i, true
			}
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

// Gaps are the shortest and the longest time between two neighbours among the times of day, in their order, of the days on
// which they are; 0 if there are not two within four years.
func Gaps(times []time.Duration, on func(day time.Time) bool) (shortest, longest time.Duration) {
	take := func(gap time.Duration) {
		longest = max(longest, gap)
		if shortest == 0 {
			shortest = gap
		}
		shortest = min(shortest, gap)
	}
	begin := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC) // a leap year
	var before time.Time                                            // the last time of the last day
	for day := begin; day.Year() < begin.Year()+4; day = day.AddDate(0, 0, 1) {
		if len(times) == 0 || !on(day) {
			continue
		}
		if before.IsZero() {
			for i := range times[1:] { // as on every further day
				take(times[i+1] - times[i])
			}
		} else {
			take(day.Add(times[0]).Sub(before))
		}
		before = day.Add(times[len(times)-1])
	}
	return shortest, longest
}

// Calls are the times of a year from a day on, in its place, on the days on which they are. Where the clocks of the place are changed
// they may be an hour off.
func Calls(from time.Time, times []time.Duration, on func(day time.Time) bool) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for i := range 366 {
			day := time.Date(from.Year(), from.Month(), from.Day()+i, 0, 0, 0, 0, from.Location())
			if !on(day) {
				continue
			}
			for _, at := range times {
				if !yield(day.Add(at)) {
					return
				}
			}
		}
	}
}
