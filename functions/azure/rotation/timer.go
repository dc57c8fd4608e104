package rotation

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/internal/settings"
)

// TimerInfo is what the host says about a timer that has fired. Nothing is decided by it, for the runners' notes say what is due;
// so no value in it is an error.
type TimerInfo struct {
	ScheduleStatus *ScheduleStatus // nil if the host does not keep one
	IsPastDue      Flag
}

// Flag is a boolean, which a host may write as a string.
type Flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *Flag) UnmarshalJSON(text []byte) error {
	*f = Flag(strings.EqualFold(strings.Trim(string(text), `"`), "true"))
	return nil
}

// ScheduleStatus is what the host remembers about the timer.
type ScheduleStatus struct{ Last, Next, LastUpdated Time }

// UnmarshalJSON implements json.Unmarshaler.
func (s *ScheduleStatus) UnmarshalJSON(text []byte) error {
	type plain ScheduleStatus
	_ = json.Unmarshal(text, (*plain)(s)) // any other shape is an empty status
	return nil
}

// Time is a time in whatever form the host writes it.
type Time string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(text []byte) error {
	var unquoted string
	if json.Unmarshal(text, &unquoted) != nil {
		unquoted = string(text)
	}
	*t = Time(function.Abbreviate(unquoted))
	return nil
}

// invocation is what the host posts.
type invocation struct {
	timer   TimerInfo
	retry   int // how many have failed before it
	retries int // how many may be
}

// binding is the name of the timer in function.json.
const binding = "timer"

// parseInvocation reads the body of an invocation. The error does not repeat it.
func parseInvocation(body []byte) (invocation, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return invocation{}, settings.Errorf("the invocation is empty, expected %s", invocationForm)
	}
	var document struct {
		Data     json.RawMessage
		Metadata json.RawMessage
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return invocation{}, settings.Errorf("the invocation is no JSON object, expected %s", invocationForm)
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(document.Data, &data); err != nil || data == nil {
		return invocation{}, settings.Errorf("the invocation has no Data that is an object, expected %s", invocationForm)
	}
	var timer *TimerInfo
	for name, text := range data {
		if !strings.EqualFold(name, binding) {
			continue
		}
		var encoded string
		if json.Unmarshal(text, &encoded) == nil && encoded != "" {
			text = json.RawMessage(encoded)
		}
		if err := json.Unmarshal(text, &timer); err != nil {
			return invocation{}, settings.Errorf("the invocation's Data.%s is not what a host says of a timer, expected %s", binding, invocationForm)
		}
	}
	if timer == nil {
		return invocation{}, settings.Errorf("the invocation has no Data.%s, expected %s", binding, invocationForm)
	}
	found := invocation{timer: *timer}
	var metadata struct {
		RetryContext struct{ RetryCount, MaxRetryCount int }
	}
	_ = json.Unmarshal(document.Metadata, &metadata) // for the log only
	found.retry, found.retries = metadata.RetryContext.RetryCount, metadata.RetryContext.MaxRetryCount
	return found, nil
}

const invocationForm = `{"Data":{"timer":{"IsPastDue":false,…}},…}`
