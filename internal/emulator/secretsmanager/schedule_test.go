package secretsmanager

import "testing"

func TestSchedule(t *testing.T) {
	const refused = -1
	for expression, want := range map[string]int{ // hours between rotations, at least
		"rate(4 hours)":           4,
		"rate(10 days)":           240,
		"rate(1 day)":             24,
		"rate(999 days)":          23976,
		"cron(0 8 * * ? *)":       24,
		"cron(0 8 ? * MON *)":     24,
		"cron(0 0/4 * * ? *)":     4,
		"cron(0 */6 1 * ? *)":     6,
		"cron(0 /8 * * ? *)":      8,
		"cron(0 2,14 * * ? *)":    12,
		"cron(0 0-20/5 * * ? *)":  4,
		"cron(0 20,4 1 1/3 ? *)":  8,
		"rate(3 hours)":           refused,
		"rate(1 hour)":            refused,
		"rate(1 days)":            refused,
		"rate(2 day)":             refused,
		"rate(1000 days)":         refused,
		"rate(0 days)":            refused,
		"rate(10 minutes)":        refused,
		"rate(10)":                refused,
		"cron(30 8 * * ? *)":      refused,
		"cron(0 8 * * ? 2030)":    refused,
		"cron(0 8 * * * *)":       refused,
		"cron(0 8 ? * ? *)":       refused,
		"cron(0 8 * * ?)":         refused,
		"cron(0 * * * ? *)":       refused,
		"cron(0 0/3 * * ? *)":     refused,
		"cron(0 8-12 * * ? *)":    refused,
		"cron(0 1,23 * * ? *)":    refused,
		"cron(0 24 * * ? *)":      refused,
		"cron(0 8-4 * * ? *)":     refused,
		"cron(0 x * * ? *)":       refused,
		"cron(0 1-x * * ? *)":     refused,
		"cron(0 1/x * * ? *)":     refused,
		"cron(0 1/0 * * ? *)":     refused,
		"cron(0 , * * ? *)":       refused,
		"at(2030-01-01T00:00:00)": refused,
		"weekly":                  refused,
	} {
		err := (&rotationRules{ScheduleExpression: expression}).check()
		if (err != nil) != (want == refused) {
			t.Errorf("%s: %v", expression, err)
		}
		if got := hoursBetween(expression); want != refused && got != want {
			t.Errorf("%s: %d hours, want %d", expression, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	days := func(n int64) *int64 { return &n }
	for name, test := range map[string]struct {
		rules *rotationRules
		ok    bool
	}{
		"none":                 {nil, true},
		"empty":                {&rotationRules{}, true},
		"days":                 {&rotationRules{AutomaticallyAfterDays: days(30)}, true},
		"no days":              {&rotationRules{AutomaticallyAfterDays: days(0)}, false},
		"too many days":        {&rotationRules{AutomaticallyAfterDays: days(1001)}, false},
		"both":                 {&rotationRules{AutomaticallyAfterDays: days(30), ScheduleExpression: "rate(30 days)"}, false},
		"window":               {&rotationRules{AutomaticallyAfterDays: days(30), Duration: "3h"}, true},
		"window of a day":      {&rotationRules{ScheduleExpression: "rate(1 day)", Duration: "24h"}, true},
		"window over a day":    {&rotationRules{ScheduleExpression: "rate(10 days)", Duration: "25h"}, false},
		"window into the next": {&rotationRules{ScheduleExpression: "rate(4 hours)", Duration: "5h"}, false},
		"window without unit":  {&rotationRules{Duration: "3"}, false},
		"window of no hours":   {&rotationRules{Duration: "0h"}, false},
	} {
		if err := test.rules.check(); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
