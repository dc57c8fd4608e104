package rotate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// An error keeps its parts wherever it comes by, and its text is made once.
func TestPartsOfErrors(t *testing.T) {
	denied := rotate.Errorf(rotate.Permission, "may not write").WithHint("grant it")
	for name, test := range map[string]struct {
		err        error
		text, line string
	}{
		"one": {denied, "permission: may not write; state: stored, not restarted; what to do: grant it",
			`{"kind":"permission","error":"may not write","hint":"grant it"}`},
		"within a place": {rotate.Within("service a", rotate.Within("restart", denied)),
			"permission: service a: restart: may not write; state: stored, not restarted; what to do: grant it",
			`{"kind":"permission","error":"service a: restart: may not write","hint":"grant it"}`},
		"joined": {rotate.Within("observe", errors.Join(errors.New("no answer"), denied)),
			"permission: observe: no answer; may not write; state: stored, not restarted; what to do: grant it",
			`{"kind":"permission","error":"observe: no answer; may not write","hint":"grant it"}`},
		"of Maia": {rotate.Within("refresh", maia.ErrRateLimited),
			"not ready: refresh: " + maia.ErrRateLimited.Error() + "; state: stored, not restarted; what to do: nothing: the next run tries again",
			`{"kind":"not_ready","error":"refresh: ` + maia.ErrRateLimited.Error() + `"}`},
		"of a state": {rotate.AsError(denied, rotate.NotStored), "permission: may not write; state: " + rotate.NotStored.Text() +
			"; what to do: grant it",
			`{"kind":"permission","error":"may not write","state":"not_stored","hint":"grant it"}`},
		"none": {nil, "", `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.err != nil {
				if text := rotate.AsError(test.err, rotate.NotMoved).Error(); text != test.text {
					t.Errorf("got  %s\nwant %s", text, test.text)
				}
			}
			var out bytes.Buffer
			bare := func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey {
					return slog.Attr{}
				}
				return a
			}
			slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: bare})).Warn("", rotate.LogError(test.err))
			if line := strings.TrimSpace(out.String()); line != test.line {
				t.Errorf("got  %s\nwant %s", line, test.line)
			}
		})
	}
}

// Durations are milliseconds for machines, also of a step that was taken twice.
func TestDurationsOfReports(t *testing.T) {
	report := rotate.Report{Downtime: 1500 * time.Millisecond, Took: time.Minute, Steps: []rotate.StepReport{
		{Kind: rotate.Restart, Took: time.Second}, {Kind: rotate.AwaitConnected, Took: 2 * time.Second},
		{Kind: rotate.Restart, Took: time.Second},
	}}
	text, err := json.Marshal(report)
	for _, want := range []string{`"downtime_ms":1500,`, `"took_ms":60000}`, `{"step":"await_connected","reason":"","took_ms":2000}`} {
		if err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s lacks %s: %v", text, want, err)
		}
	}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("report", report.Attributes()...)
	const want = `"took_ms":60000,"downtime_ms":1500,"took_await_connected_ms":2000,"took_restart_ms":2000`
	if !strings.Contains(out.String(), want) {
		t.Errorf("%s lacks %s", out.String(), want)
	}
}
