package ecs

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// fuzzSecret is the secret in the samples, so that a search finds it where it must not be.
const fuzzSecret = "Zq8wN3tVb6Rk1YxLm5Hs0Dj2"

// object is the top of a JSON object, key by key, as encoding/json reads it, which is not the reader that is tested.
func object(t *testing.T, text string) (keys []string, values map[string]json.RawMessage) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	values = map[string]json.RawMessage{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		keys, values[key.(string)] = append(keys, key.(string)), value
	}
	return keys, values
}

// FuzzDocument: a document gives the credentials that are in it, and takes another client_secret without a change of any other
// byte; or it is a Configuration error that quotes nothing of it.
func FuzzDocument(f *testing.F) {
	for _, sample := range []string{
		`{"client_id":"c","client_secret":"` + fuzzSecret + `"}`,
		"{ \"a\" : 1.10e+2,\n\t\"client_secret\"  :\"" + fuzzSecret + "\" , \"client_id\":\"c\",\"b\":[1, 2 ,{\"client_secret\":\"inner\"}]}\n",
		`{"client_id":"c","client\u005fsecret":"` + fuzzSecret + `","client.secret":"x"}`,
		`{"client_id":"c","client_secret":"a\"}b\ud800","z":1,"Client_Secret":"other"}`,
		`{"client_id":"c","client_secret":"` + fuzzSecret + `","client_secret":"y"}`,
		`{"client_id":"c","client_secret":["` + fuzzSecret + `"]}`, `["` + fuzzSecret + `"]`, `"` + fuzzSecret, ` `, `{}`,
		"{\"client_id\":\"\xff\",\"client_secret\":\"\xfe" + fuzzSecret + "\"}",
	} {
		f.Add(sample, "the-next-secret")
	}
	f.Add(`{"client_id":"c","client_secret":"x"}`, "q\"\\\n<&>\u2028é\x7f")
	f.Fuzz(func(t *testing.T, text, next string) {
		document, err := ParseDocument(text)
		if err != nil {
			if rotate.KindOf(err) != rotate.Configuration || strings.Contains(err.Error(), fuzzSecret) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		keys, values := object(t, text)
		var id, secret string
		if json.Unmarshal(values["client_id"], &id) != nil || json.Unmarshal(values[keyClientSecret], &secret) != nil {
			t.Fatalf("accepted without the two")
		}
		held := document.Credentials()
		if held.ClientID != id || held.ClientSecret.Reveal() != secret {
			t.Errorf("read as others: client %q, expected %q", held.ClientID, id)
		}
		if (maia.Credentials{ClientID: "c", ClientSecret: maia.NewSecret(next)}).Validate() != nil {
			return // nobody stores it
		}
		changed, err := document.with(maia.NewSecret(next))
		if err != nil {
			if len(text)+6*len(next) > maxDocument && rotate.KindOf(err) == rotate.Configuration {
				return
			}
			t.Fatalf("a document that was accepted takes no other secret: %v", err)
		}
		if changed.Credentials().ClientID != id || changed.Credentials().ClientSecret.Reveal() != next {
			t.Errorf("read back as something else")
		}
		keysAfter, valuesAfter := object(t, changed.Reveal())
		if !slices.Equal(keys, keysAfter) {
			t.Errorf("the keys %q became %q", keys, keysAfter)
		}
		for key, value := range values {
			if key != keyClientSecret && string(value) != string(valuesAfter[key]) {
				t.Errorf("the value of %q became another", key)
			}
		}
		// Every other byte: what is before the old value and behind it is before the new one and behind it.
		was, is := string(values[keyClientSecret]), string(valuesAfter[keyClientSecret])
		same := false
		for at := 0; ; at++ {
			found := strings.Index(text[at:], was)
			if found < 0 {
				break
			}
			at += found
			same = same || changed.Reveal() == text[:at]+is+text[at+len(was):]
		}
		if !same {
			t.Errorf("more than the value has changed:\n%q became\n%q", text, changed.Reveal())
		}
	})
}

// FuzzNoteOfLabels: whatever labels a secret has, the note read from them is the same when it is written and read again, in few
// enough labels.
func FuzzNoteOfLabels(f *testing.F) {
	f.Add("AWSCURRENT maia-rotate/applied/0123456789ab/20260301T100000.000Z "+
		"maia-rotate/rotated/ab0123456789/0123456789ab/20260301T095900.123Z", "q3k5")
	f.Add("maia-rotate/intent/0123456789ab/20260301T100000.000Z/q3k5 maia-rotate/intent/0123456789ab/20260301T100001.000Z/other", "q3k5")
	f.Add("maia-rotate/pausing/20260301T100000.000Z/q3k5 maia-rotate/paused/20260301T100000.000Z/none/q3k5 "+
		"maia-rotate/paused/20260301T090000.000Z/20260301T110000.000Z/x", "")
	f.Add("maia-rotate/ maia-rotate/applied maia-rotate/applied// maia-rotate/intent///// maia-rotate/rotated/a/b/not-a-time "+
		"maia-rotate/paused/x/y/z other/applied/x/y", "")
	f.Fuzz(func(t *testing.T, text, own string) {
		labels := strings.Fields(text)
		note := noteOf(labels, own)
		written := labelsOf(note, labels)
		if len(written) > noteLabels {
			t.Errorf("%d labels", len(written))
		}
		for _, label := range written {
			if kind, _ := splitLabel(label); kind == "" {
				t.Errorf("the label %q is none of ours", label)
			}
		}
		if again := noteOf(written, own); !again.Equal(note) {
			t.Errorf("the note of %q became that of %q", labels, written)
		}
	})
}

// FuzzLabelsOfNote: a note with what Maia and the clock may say is read as it was written.
func FuzzLabelsOfNote(f *testing.F) {
	f.Add("0123456789ab", int64(1_772_000_000_123), "2026-03-01T12:00:00.5+02:00", "q3k5", byte(31))
	f.Add("none", int64(0), "9999-12-31T23:59:59-01:00", "a", byte(9))
	f.Add("ab", int64(-62_135_596_800_000), "0000-01-01T00:00:00+01:00", "b", byte(13))
	f.Fuzz(func(t *testing.T, secret string, at int64, pausedUntil, by string, parts byte) {
		when := time.UnixMilli(at).UTC()
		until, err := time.Parse(time.RFC3339, pausedUntil)
		if err != nil || !sayable(until) || !sayable(when) || strings.Contains(by, "/") {
			return // nothing of the kind comes from pkg/maia, a clock or a run
		}
		mark := maia.NewSecret(secret).Fingerprint()
		var note rotate.Note
		if parts&1 != 0 {
			note.Applied = mark
		}
		if parts&2 != 0 {
			note.Intent = &rotate.Intent{At: when, Over: mark, By: by}
		}
		if parts&4 != 0 {
			note.Paused = &rotate.OwnPause{At: when, By: by, Confirmed: parts&8 != 0}
			if note.Paused.Confirmed {
				note.Paused.Until = until.Truncate(time.Millisecond)
			}
		}
		if parts&16 != 0 {
			note.LastRotation = &rotate.Rotation{At: when, Over: mark, New: mark}
		}
		if read := noteOf(labelsOf(note, nil), ""); !read.Equal(note) {
			t.Errorf("written as %q, read as %+v", labelsOf(note, nil), read)
		}
	})
}

// sayable reports whether a time has a year of four digits in every time zone.
func sayable(t time.Time) bool { return t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }

// FuzzValueFrom: a reference of a task definition is put together again as it was, and names the secret if and only if its ARN
// does, with the six characters or without.
func FuzzValueFrom(f *testing.F) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:matillion-oauth-credentials-AbCdEf"
	for _, sample := range []string{arn, arn + ":client_secret::", arn[:len(arn)-7] + ":k:AWSCURRENT:", arn + ":a:b:c:d",
		"arn:aws:ssm:eu-west-1:123456789012:parameter/x", "", "::::::"} {
		f.Add(sample, arn)
	}
	f.Fuzz(func(t *testing.T, text, secretARN string) {
		from, ok := parseValueFrom(text)
		if !ok {
			if from != (valueFrom{}) {
				t.Errorf("%q is none, and is %+v", text, from)
			}
			return
		}
		if again := strings.Join([]string{from.arn, from.key, from.stage, from.version}, ":"); !strings.HasPrefix(again, text) &&
			!strings.HasPrefix(text, again) {
			t.Errorf("%q became %q", text, again)
		}
		if from.names(secretARN) && !strings.HasPrefix(secretARN, from.arn) {
			t.Errorf("%q is taken for %q", text, secretARN)
		}
		container := types.ContainerDefinition{Secrets: []types.Secret{{Name: aws.String(envClientSecret), ValueFrom: &text}}}
		if uses, err := usesSecret(container, secretARN); err != nil && rotate.KindOf(err) != rotate.Configuration ||
			uses && !from.names(secretARN) {
			t.Errorf("%q is used: %t, %v", text, uses, err)
		}
	})
}
