package rotation

import (
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func TestParseInvocation(t *testing.T) {
	const sys = `"Metadata":{"sys":{"MethodName":"RotateRunnerSecrets","UtcNow":"2023-09-07T11:40:45.004275Z",` +
		`"RandGuid":"1a1c2b3d-0000-4000-8000-000000000000"}`
	for body, test := range map[string]struct {
		pastDue        Flag
		status         *ScheduleStatus
		retry, retries int
	}{
		`{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},` + sys + `}}`: {},
		`{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":{"Last":"2023-09-07T11:30:00.0089+00:00",` +
			`"Next":"2023-09-07T12:00:00Z","LastUpdated":"2023-09-07T11:30:00Z"},"IsPastDue":true}},` + sys + `}}`: {
			pastDue: true, status: &ScheduleStatus{"2023-09-07T11:30:00.0089+00:00", "2023-09-07T12:00:00Z", "2023-09-07T11:30:00Z"},
		},
		`{"Data":{"timer":{"ScheduleStatus":{"Last":"yesterday","Next":"","LastUpdated":null},"IsPastDue":true}}}`: {pastDue: true,
			status: &ScheduleStatus{Last: "yesterday"}},
		`{"Data":{"timer":{"ScheduleStatus":{"Last":7,"Next":{"a":1}},"IsPastDue":true}}}`: {pastDue: true,
			status: &ScheduleStatus{Last: "7", Next: `{"a":1}`}},
		`{"Data":{"timer":"{\"Schedule\":{},\"ScheduleStatus\":null,\"IsPastDue\":true}"},` + sys + `}}`: {pastDue: true},
		`{"Data":{"timer":{"IsPastDue":"false"}}}`:                                                       {},
		`{"Data":{"timer":{"IsPastDue":"True"}}}`:                                                        {pastDue: true},
		`{"Data":{"timer":{"IsPastDue":{"a":[7]}}}}`:                                                     {},
		`{"Data":{"timer":{"ScheduleStatus":"{\"Last\":\"\"}","IsPastDue":true}}}`: {pastDue: true,
			status: &ScheduleStatus{}},
		`{"Data":{"timer":{"ScheduleStatus":[7],"IsPastDue":true}}}`: {pastDue: true,
			status: &ScheduleStatus{}},
		`{"data":{"timer":{"isPastDue":true}}}`:                                                {pastDue: true},
		`{"Data":{"timer":{}},"Metadata":null}`:                                                {},
		`{"Data":{"timer":{}},"Metadata":"nothing to be read"}`:                                {},
		` {"Data":{"timer":{},"other":7},"Unknown":[]}` + "\r\n":                               {},
		`{"Data":{"timer":{}},` + sys + `,"RetryContext":{"RetryCount":1,"MaxRetryCount":2}}}`: {retry: 1, retries: 2},
	} {
		got, err := parseInvocation([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got.timer.IsPastDue != test.pastDue || got.retry != test.retry || got.retries != test.retries {
			t.Errorf("%s: got %+v", body, got)
		}
		if s := got.timer.ScheduleStatus; (s == nil) != (test.status == nil) || s != nil && *s != *test.status {
			t.Errorf("%s: the status is %+v", body, s)
		}
	}
}

func TestBadInvocations(t *testing.T) {
	for body, words := range map[string]string{
		"":                           "the invocation is empty",
		" \r\n\t":                    "the invocation is empty",
		"null":                       "the invocation has no Data that is an object",
		"{}":                         "the invocation has no Data that is an object",
		"7":                          "the invocation is no JSON object",
		"[]":                         "the invocation is no JSON object",
		`"Data"`:                     "the invocation is no JSON object",
		"not JSON " + apiSecret:      "the invocation is no JSON object",
		`{"Data":{"timer":{}}`:       "the invocation is no JSON object",
		`{"Data":null}`:              "no Data that is an object",
		`{"Data":"{\"timer\":{}}"}`:  "no Data that is an object",
		`{"Data":{}}`:                "no Data.timer",
		`{"Data":{"timer":null}}`:    "no Data.timer",
		`{"Data":{"timer":"null"}}`:  "no Data.timer",
		`{"Data":{"timer":""}}`:      "Data.timer is not what a host says",
		`{"Data":{"timer":"now"}}`:   "Data.timer is not what a host says",
		`{"Data":{"timer":7}}`:       "Data.timer is not what a host says",
		`{"Data":{"timer":[]}}`:      "Data.timer is not what a host says",
		strings.Repeat("[", 500_000): "the invocation is no JSON object",
		`{"Data":{"timer":` + strings.Repeat(`{"a":`, 500_000): "the invocation is no JSON object",
	} {
		_, err := parseInvocation([]byte(body))
		if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "expected {") ||
			strings.Contains(err.Error(), apiSecret) {
			t.Errorf("%.100s: got %v, expected %s", body, err, words)
		}
	}
}
