package maia

import (
	"bytes"
	"encoding/json"
	"time"
)

// optional is a field that a reply is usable without: where it has another type, the value is zero.
type optional[T any] struct{ value T }

// UnmarshalJSON never fails: encoding/json has checked the syntax before it is called.
func (o *optional[T]) UnmarshalJSON(data []byte) error {
	var value T
	if json.Unmarshal(data, &value) != nil {
		value = *new(T)
	}
	o.value = value
	return nil
}

// instant is a time that a reply is usable without. It is understood as RFC 3339, with an offset that has no colon too, and as a number of
// seconds or milliseconds since 1970. What has no zone is no instant. Anything else is zero.
type instant struct{ time.Time }

// UnmarshalJSON never fails, as that of optional.
func (i *instant) UnmarshalJSON(data []byte) error {
	i.Time = time.Time{}
	var text string
	var number float64
	switch {
	case bytes.Equal(data, []byte("null")):
	case json.Unmarshal(data, &text) == nil:
		i.Time = parseTime(text)
	case json.Unmarshal(data, &number) == nil:
		i.Time = sinceEpoch(number)
	}
	// A note keeps it in UTC, where a year of four digits may have five.
	if i.Time = i.UTC(); i.Year() < 1 || i.Year() > 9999 {
		i.Time = time.Time{}
	}
	return nil
}

func parseTime(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		if parsed, err := time.Parse(layout, text); err == nil {
			return parsed
		}
	}
	return time.Time{}
}

const (
	leastMillis = 1e11             // as seconds this is the year 5138, as milliseconds 1973
	mostMillis  = 253402300800_000 // the year 10000
)

// sinceEpoch distinguishes seconds from milliseconds by their size.
func sinceEpoch(number float64) time.Time {
	if number < leastMillis {
		number *= 1000
	}
	if !(number > 0 && number < mostMillis) {
		return time.Time{}
	}
	return time.UnixMilli(int64(number)).UTC()
}
