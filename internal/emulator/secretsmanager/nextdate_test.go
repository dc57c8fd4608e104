package secretsmanager

import (
	"testing"
	"time"
)

func TestNextDate(t *testing.T) {
	days := func(n int64) *int64 { return &n }
	const after = "2024-02-28T10:30:00Z" // a Wednesday of a leap year
	for _, test := range []struct {
		rules rotationRules
		after string
		want  string // "" is none
	}{
		{rotationRules{AutomaticallyAfterDays: days(1)}, after, "2024-02-29T23:59:59Z"},
		{rotationRules{AutomaticallyAfterDays: days(30)}, after, "2024-03-29T23:59:59Z"},
		{rotationRules{AutomaticallyAfterDays: days(30), Duration: "3h"}, after, "2024-03-29T02:59:59Z"},
		{rotationRules{AutomaticallyAfterDays: days(1)}, "2024-02-28T23:30:00-02:00", "2024-03-01T23:59:59Z"},
		{rotationRules{ScheduleExpression: "rate(1 day)"}, after, "2024-02-29T23:59:59Z"},
		{rotationRules{ScheduleExpression: "rate(10 days)", Duration: "24h"}, after, "2024-03-09T23:59:59Z"},
		{rotationRules{ScheduleExpression: "rate(4 hours)"}, after, "2024-02-28T12:59:59Z"},
		{rotationRules{ScheduleExpression: "rate(4 hours)"}, "2024-02-28T12:00:00Z", "2024-02-28T16:59:59Z"},
		{rotationRules{ScheduleExpression: "rate(4 hours)", Duration: "2h"}, "2024-02-28T21:00:00Z", "2024-02-29T01:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 * * ? *)"}, after, "2024-02-29T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 16 * * ? *)", Duration: "2h"}, after, "2024-02-28T17:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 16 * * ? *)"}, "2024-02-28T16:00:00Z", "2024-02-29T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 /8 * * ? *)"}, after, "2024-02-28T16:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 16 1,15 * ? *)", Duration: "2h"}, after, "2024-03-01T17:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 ? * MON *)"}, after, "2024-03-04T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 ? * 2 *)"}, after, "2024-03-04T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 ? * sat,SUN *)"}, after, "2024-03-02T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 16 ? * MON-FRI *)"}, after, "2024-02-28T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 1 1/3 ? *)"}, after, "2024-04-01T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 1 JAN ? *)"}, after, "2025-01-01T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 29 2 ? *)"}, "2024-02-29T08:00:00Z", "2028-02-29T23:59:59Z"},
		{rotationRules{ScheduleExpression: "cron(0 8 29 FEB ? *)"}, "2096-03-01T08:00:00Z", "2104-02-29T23:59:59Z"},

		{rotationRules{}, after, ""},
		{rotationRules{Duration: "3h"}, after, ""},
		{rotationRules{ScheduleExpression: "cron(0 8 L * ? *)"}, after, ""}, // valid, not understood here
		{rotationRules{ScheduleExpression: "cron(0 8 ? * 2#1 *)"}, after, ""},
		{rotationRules{ScheduleExpression: "cron(0 8 31 2 ? *)"}, after, ""}, // never
		{rotationRules{ScheduleExpression: "cron(0 8 32 * ? *)"}, after, ""},
		{rotationRules{ScheduleExpression: "cron(0 8 ? * 0 *)"}, after, ""},
	} {
		if err := test.rules.check(); err != nil {
			t.Fatal(err)
		}
		from, err := time.Parse(time.RFC3339, test.after)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if next := test.rules.next(from); !next.IsZero() {
			got = next.Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%+v after %s: %q, want %q", test.rules, test.after, got, test.want)
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"credsDatabase#892": "creds database 892",
		"My_Secret":         "my secret",
		"ABCdef1":           "abcdef 1",
		"a/b-c":             "a b c",
		"--":                "",
		"":                  "",
	} {
		got := ""
		for i, w := range words(text) {
			if i > 0 {
				got += " "
			}
			got += w
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
