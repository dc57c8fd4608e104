package rotate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window is when rotations may begin, by the clocks on the walls of a place. The zero Window is always open. Notation:
//
//	Sat,Sun 02:00-05:00 Europe/London
//	Mon-Fri 22:00-04:00; Sun 00:00-24:00 America/New_York
//
// Days are three letters; without days it is every day. A time that ends before it begins goes on into the next day, and belongs to
// the day on which it begins. Without a place it is UTC. What the clock does when it is changed counts as it shows: an hour that is
// left out is not in the window, one that comes twice is in it twice.
type Window struct {
	text  string
	spans []span
	place *time.Location
}

// span is a time of some days, in minutes since midnight.
type span struct {
	days       [7]bool // of its begin
	begin, end int     // end may be beyond the day
}

const (
	minutesOfDay = 24 * 60
	searched     = 8 * minutesOfDay // each day comes within it
)

// String is the window as it was written.
func (w *Window) String() string { return w.text }

// Fits reports whether the window is open from a time on for so long. That of nil is always.
func (w *Window) Fits(at time.Time, needed time.Duration) bool {
	if w == nil {
		return true
	}
	// Whether it is open changes only where a minute begins.
	for moment, end := at, at.Add(needed); ; moment = moment.Truncate(time.Minute).Add(time.Minute) {
		if moment.After(end) || moment.Equal(end) && needed > 0 {
			return true
		}
		if !w.open(moment) {
			return false
		}
		if needed == 0 {
			return true
		}
	}
}

// Next is the first time from one on at which the window fits what is needed; false if there is none within eight days.
func (w *Window) Next(from time.Time, needed time.Duration) (time.Time, bool) {
	moment := from
	for range searched {
		if w.Fits(moment, needed) {
			return moment, true
		}
		moment = moment.Truncate(time.Minute).Add(time.Minute)
	}
	return time.Time{}, false
}

func (w *Window) open(at time.Time) bool {
	local := at.In(w.place)
	minute, day := local.Hour()*60+local.Minute(), local.Weekday()
	yesterday := (day + 6) % 7
	return slices.ContainsFunc(w.spans, func(s span) bool {
		return s.days[day] && minute >= s.begin && minute < s.end || s.days[yesterday] && minute+minutesOfDay < s.end
	})
}

// ParseWindow reads the notation of a [Window]. The error says what is wrong with which part.
func ParseWindow(text string) (*Window, error) {
	window := &Window{text: strings.TrimSpace(text), place: time.UTC}
	parts := strings.Split(window.text, ";")
	last := strings.Fields(parts[len(parts)-1])
	if n := len(last); n > 1 && !strings.Contains(last[n-1], ":") {
		place, err := time.LoadLocation(last[n-1])
		if err != nil || last[n-1] == "Local" {
			return nil, fmt.Errorf("%q is no time zone, expected one like Europe/London", last[n-1])
		}
		window.place = place
		parts[len(parts)-1] = strings.Join(last[:n-1], " ")
	}
	for _, part := range parts {
		found, err := parseSpan(strings.Fields(part))
		if err != nil {
			return nil, err
		}
		window.spans = append(window.spans, found)
	}
	return window, nil
}

func parseSpan(fields []string) (span, error) {
	var found span
	days, times := "Sun-Sat", ""
	switch len(fields) {
	case 1:
		times = fields[0]
	case 2:
		days, times = fields[0], fields[1]
	default:
		return span{}, fmt.Errorf("%q is not understood, expected days and a time like Sat,Sun 02:00-05:00", strings.Join(fields, " "))
	}
	for item := range strings.SplitSeq(days, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, to := dayOf(first), dayOf(last)
		if from < 0 || to < 0 {
			return span{}, fmt.Errorf("%q are no days, expected Mon, Tue, Wed, Thu, Fri, Sat or Sun, or a range like Mon-Fri", item)
		}
		for day := from; ; day = (day + 1) % 7 {
			found.days[day] = true
			if day == to {
				break
			}
		}
	}
	begin, end, _ := strings.Cut(times, "-")
	var ok, closed bool
	found.begin, ok = minuteOf(begin)
	found.end, closed = minuteOf(end)
	if !ok || !closed || found.begin == minutesOfDay || found.begin == found.end {
		return span{}, fmt.Errorf("%q is no time, expected one like 02:00-05:00", times)
	}
	if found.end < found.begin {
		found.end += minutesOfDay
	}
	return found, nil
}

// dayOf is the number of a day of the week; below 0 if it is none.
func dayOf(name string) int {
	return slices.IndexFunc([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, func(day string) bool {
		return strings.EqualFold(name, day)
	})
}

// minuteOf is the minute since midnight of a time like 02:00.
func minuteOf(text string) (int, bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	hour, err := strconv.ParseUint(text[:2], 10, 8)
	minute, err2 := strconv.ParseUint(text[3:], 10, 8)
	if err != nil || err2 != nil || minute > 59 || hour*60+minute > minutesOfDay {
		return 0, false
	}
	return int(hour*60 + minute), true
}
