package cron_test

import (
	"slices"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor/cron"
)

func TestValues(t *testing.T) {
	days := []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	for field, want := range map[string][]int{
		"*": {0, 1, 2, 3, 4, 5, 6}, "?": {0, 1, 2, 3, 4, 5, 6}, "3": {3}, "1-3": {1, 2, 3}, "5,1": {1, 5}, "1,1": {1}, "*/3": {0, 3, 6},
		"4/2": {4, 6}, "1-6/2": {1, 3, 5},
		"MON-wed": {1, 2, 3}, "Friday": {5}, "Sa,Su": {0, 6}, "mon/3": {1, 4},
		"": nil, "7": nil, "-1": nil, "x": nil, "1-": nil, "-": nil, "1-9": nil, "*/0": nil, "*/x": nil, "1,,2": nil, "3-1": nil,
	} {
		if got := cron.Values(field, 0, 6, days); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", field, got, want)
		}
	}
}

func TestGaps(t *testing.T) {
	const hour = time.Hour
	daily := func(time.Time) bool { return true }
	for title, test := range map[string]struct {
		times             []time.Duration
		on                func(time.Time) bool
		shortest, longest time.Duration
	}{
		"daily":         {[]time.Duration{3 * hour}, daily, 24 * hour, 24 * hour},
		"twice a day":   {[]time.Duration{1 * hour, 23 * hour}, daily, 2 * hour, 22 * hour},
		"on Mondays":    {[]time.Duration{0, hour}, func(day time.Time) bool { return day.Weekday() == time.Monday }, hour, (7*24 - 1) * hour},
		"once a year":   {[]time.Duration{0}, func(day time.Time) bool { return day.YearDay() == 1 }, 365 * 24 * hour, 366 * 24 * hour},
		"in leap years": {[]time.Duration{0}, func(day time.Time) bool { return day.Month() == time.February && day.Day() == 29 }, 0, 0},
		"never":         {[]time.Duration{0, hour}, func(time.Time) bool { return false }, 0, 0},
		"at no time":    {nil, daily, 0, 0},
	} {
		if shortest, longest := cron.Gaps(test.times, test.on); shortest != test.shortest || longest != test.longest {
			t.Errorf("%s: got %s and %s, want %s and %s", title, shortest, longest, test.shortest, test.longest)
		}
	}
}
