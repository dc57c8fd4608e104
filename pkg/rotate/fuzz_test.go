package rotate_test

import (
	"encoding/json"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// FuzzNote: a note that is read is the one that is written; one with more than that is refused, for the next would lose it.
func FuzzNote(f *testing.F) {
	const note = `{"applied":"0123456789ab","intent":{"at":"2026-03-01T10:00:00.123Z","over":"0123456789ab","by":"q3k5"},` +
		`"paused":{"at":"2026-03-01T09:59:00Z","by":"q3k5","confirmed":true,"until":"2026-03-01T12:00:00+02:00"},` +
		`"rotated":{"at":"2026-02-01T10:00:00Z","over":"ab0123456789","new":"0123456789ab"}}`
	for _, sample := range []string{
		note, "{}", "null", "", " ", "[]", note + " ", note + note, note + "}", note[:len(note)-1], `{"applied":7}`, `{"unknown":1}`,
		`{"intent":{"at":"9999-12-31T23:59:59-01:00"},"Intent":{"by":"x"}}`, `{"rotated":{"at":"2026-02-01T10:00:00.1234567890123Z"}}`,
		`{"paused":{"at":"0000-01-01T00:00:00+23:59"}}`,
	} {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := rotate.ParseNote(text)
		if err != nil {
			if !read.Equal(rotate.Note{}) {
				t.Errorf("an error with a note: %+v", read)
			}
			return
		}
		if !json.Valid(text) {
			t.Errorf("what is not JSON is read as %+v", read)
		}
		written, err := json.Marshal(read)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if again, err := rotate.ParseNote(written); err != nil || !again.Equal(read) {
			t.Errorf("the note %s became %s: %v", text, written, err)
		}
	})
}
