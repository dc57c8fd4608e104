package rotate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func mustWindow(t *testing.T, text string) *rotate.Window {
	t.Helper()
	window, err := rotate.ParseWindow(text)
	if err != nil {
		t.Fatal(err)
	}
	return window
}

// inWords is a window worked out from the text of a local time alone, as a person reads a clock on a wall.
type inWords struct {
	text  string
	place string
	spans []string // "Sat 02:00 05:00"; each within one day
}

var windows = []inWords{
	{"Sat,Sun 02:00-05:00 Europe/London", "Europe/London", []string{"Sat 02:00 05:00", "Sun 02:00 05:00"}},
	{"Sun 00:30-01:30 Europe/London", "Europe/London", []string{"Sun 00:30 01:30"}},
	{"sun 01:15-01:45 Europe/London", "Europe/London", []string{"Sun 01:15 01:45"}},
	{"Sun 02:15-02:45 America/New_York", "America/New_York", []string{"Sun 02:15 02:45"}},
	{"Fri-Sat 22:00-04:00 America/New_York", "America/New_York",
		[]string{"Fri 22:00 24:00", "Sat 00:00 04:00", "Sat 22:00 24:00", "Sun 00:00 04:00"}},
	{"Sat-Mon 23:59-00:00", "UTC", []string{"Sat 23:59 24:00", "Sun 23:59 24:00", "Mon 23:59 24:00"}},
	{"01:00-02:00 Australia/Lord_Howe", "Australia/Lord_Howe", []string{"Sun 01:00 02:00", "Mon 01:00 02:00", "Tue 01:00 02:00",
		"Wed 01:00 02:00", "Thu 01:00 02:00", "Fri 01:00 02:00", "Sat 01:00 02:00"}},
	{"Mon 00:00-24:00; Wed 06:00-07:30 Asia/Kolkata", "Asia/Kolkata", []string{"Mon 00:00 24:00", "Wed 06:00 07:30"}},
}

func (w inWords) open(at time.Time) bool {
	day, clock, _ := strings.Cut(at.Format("Mon 15:04"), " ")
	return slices.ContainsFunc(w.spans, func(span string) bool {
		fields := strings.Fields(span)
		return fields[0] == day && clock >= fields[1] && clock < fields[2]
	})
}

// Every minute of a year, with the days on which clocks are changed.
func TestWindowsOverAYear(t *testing.T) {
	for _, words := range windows {
		t.Run(words.text, func(t *testing.T) {
			t.Parallel()
			window := mustWindow(t, words.text)
			place, err := time.LoadLocation(words.place)
			if err != nil {
				t.Fatal(err)
			}
			// Backwards, so that how long it is open from a minute on is known from the minute after.
			opened := 0
			var stays time.Duration
			end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
			for at := end.Add(-time.Minute); at.Year() == 2026; at = at.Add(-time.Minute) {
				if stays += time.Minute; !words.open(at.In(place)) {
					stays = 0
				} else {
					opened++
				}
				if got, want := window.Fits(at, 0), stays > 0; got != want {
					t.Fatalf("%s: open %t, want %t", at.In(place), got, want)
				}
				if stays == 0 || stays > 3*time.Hour {
					continue
				}
				if !window.Fits(at, stays) || window.Fits(at, stays+time.Second) || !window.Fits(at.Add(30*time.Second), stays-30*time.Second) ||
					window.Fits(at.Add(30*time.Second), stays) {
					t.Fatalf("%s: it is open for %s, and does not say so", at.In(place), stays)
				}
			}
			if opened == 0 {
				t.Error("it was never open")
			}
		})
	}
}

// How long a window is open on the days on which the clocks of its place are changed.
func TestWindowsWhenClocksAreChanged(t *testing.T) {
	for _, test := range []struct {
		window, from, to string // a day, in UTC
		want             []string
	}{
		// 01:00 to 02:00 is left out
		{"01:30-02:30 Europe/London", "2026-03-28T12:00", "2026-03-29T12:00", []string{"01:00 to 01:30"}},
		{"01:15-01:45 Europe/London", "2026-03-28T12:00", "2026-03-29T12:00", nil}, // all of it is
		// 01:00 to 02:00 comes twice
		{"01:30-02:30 Europe/London", "2026-10-24T12:00", "2026-10-25T12:00", []string{"00:30 to 01:00", "01:30 to 02:30"}},
		{"00:00-04:00 Europe/London", "2026-10-24T12:00", "2026-10-25T12:00", []string{"23:00 to 04:00"}},
		{"02:30-03:30 America/New_York", "2026-03-08T00:00", "2026-03-08T23:00", []string{"07:00 to 07:30"}},
		{"00:30-01:30 America/New_York", "2026-11-01T00:00", "2026-11-01T23:00", []string{"04:30 to 05:30", "06:00 to 06:30"}},
	} {
		t.Run(fmt.Sprint(test.window, " ", test.to), func(t *testing.T) {
			window := mustWindow(t, test.window)
			at, _ := time.Parse("2006-01-02T15:04", test.from)
			end, _ := time.Parse("2006-01-02T15:04", test.to)
			var got []string
			for began := (time.Time{}); !at.After(end); at = at.Add(time.Minute) {
				switch open := window.Fits(at, 0); {
				case open && began.IsZero():
					began = at
				case !open && !began.IsZero():
					got = append(got, began.Format("15:04")+" to "+at.Format("15:04"))
					began = time.Time{}
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("open %v, want %v", got, test.want)
			}
		})
	}
}

func TestNextOpening(t *testing.T) {
	window := mustWindow(t, "Sat 02:00-05:00 Europe/London")
	monday := time.Date(2026, 6, 1, 9, 30, 30, 0, time.UTC)
	if at, ever := window.Next(monday, time.Hour); !ever || !at.Equal(time.Date(2026, 6, 6, 1, 0, 0, 0, time.UTC)) {
		t.Errorf("next %s, %t", at, ever)
	}
	if late := time.Date(2026, 6, 6, 3, 30, 0, 0, time.UTC); window.Fits(late, 31*time.Minute) || !window.Fits(late, 30*time.Minute) {
		t.Error("what goes on beyond the end fits, or what does not does not")
	}
	if _, ever := window.Next(monday, 4*time.Hour); ever {
		t.Error("it is never open for four hours")
	}
	if at, ever := window.Next(time.Date(2026, 6, 6, 2, 0, 0, 1, time.UTC), time.Hour); !ever || at.Nanosecond() != 1 {
		t.Errorf("next while it is open: %s, %t", at, ever)
	}
	if !(*rotate.Window)(nil).Fits(monday, 100*time.Hour) {
		t.Error("without a window it is open always")
	}
}

func TestWindowsThatAreNotUnderstood(t *testing.T) {
	for text, says := range map[string]string{
		"":                               "is not understood",
		"Sat":                            `"Sat" is no time`,
		"Sat 02:00":                      `"02:00" is no time`,
		"Sat 02:00-02:00":                "is no time",
		"Sat 24:00-02:00":                "is no time",
		"Sat 2:00-5:00":                  "is no time",
		"Sat 02:60-05:00":                "is no time",
		"Sat 02:00-24:01":                "is no time",
		"Sat 02:00-05:00 CEST?":          `"CEST?" is no time zone`,
		"Sat 02:00-05:00 Local":          `"Local" is no time zone`,
		"Sa 02:00-05:00":                 `"Sa" are no days`,
		"Sat, Sun 02:00-05:00":           "is not understood",
		"Sat 02:00-05:00 Europe/Nowhere": "is no time zone",
		"Sat 02:00-05:00;":               "is not understood",
	} {
		if _, err := rotate.ParseWindow(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v, want one that says %s", text, err, says)
		}
	}
}

func FuzzWindow(f *testing.F) {
	for _, words := range windows {
		f.Add(words.text, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, second int64) {
		window, err := rotate.ParseWindow(text)
		if err != nil {
			return
		}
		at := time.Unix(second%(1<<32), 0)
		if next, ever := window.Next(at, time.Minute); ever && (!window.Fits(next, time.Minute) || next.Before(at)) {
			t.Errorf("%q does not fit where it is said to: %s", text, next)
		}
	})
}
