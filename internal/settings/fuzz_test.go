package settings_test

import (
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// FuzzEnvironment: an environment is read, with values within their bounds, or is a Configuration error that names the variable
// and does not repeat the secret.
func FuzzEnvironment(f *testing.F) {
	for _, sample := range []string{
		reference + "=x\nMAIA_AGENT_IDS=" + agent + ", " + strings.ToUpper(agent) + "\nMAIA_REGION=EU1\nMAIA_ROTATE_DRAIN=Pause" +
			"\nMAIA_ROTATE_DRAIN_TIMEOUT=5m\nMAIA_ROTATE_CONNECT_TIMEOUT=1h0m0.5s\nMAIA_ROTATE_EVERY=720h\nPATH=/bin",
		"MAIA_CLIENT_ID=a\nMAIA_CLIENT_SECRET= " + secret + "\nMAIA_API_URL=https://maia.test/dpc\nMAIA_TOKEN_URL=http://127.0.0.1:8080/token",
		"MAIA_CLIENT_ID=a\nMAIA_CLIENT_SECRET=" + secret + "\nMAIA_API_URL=https://user:" + secret + "@maia.test/",
		"MAIA_CLIENT_SECRET=" + secret, "MAIA_CLIENT_SECRE=" + secret, "MAIA_=\nMAIA_AGENT_IDS=,,;", "MAIA_CLIENT_SECRET",
		"MAIA_ROTATE_DRAIN_TIMEOUT=9223372036854775807ns", "MAIA_ROTATE_EVERY=2562047h47m16.854775808s", reference +
			"=x\nMAIA_ROTATE_DRAIN_TIMEOUT=1e9h", reference + "=x\nMAIA_ROTATE_CONNECT_TIMEOUT=-0s",
		reference + "=x\nMAIA_ROTATE_EVERY=.h", reference + "=x\nMAIA_ROTATE_DRAIN_TIMEOUT=0.0000000000000000000000000000000001ns", reference +
			"=x\nMAIA_REGION=eu1 \nMAIA_ROTATE_DRAIN=nonẹ",
	} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const limit = time.Hour
		environ := strings.Split(text, "\n")
		held := "" // the secret, where nothing else says the same
		for _, variable := range environ {
			if value, ok := strings.CutPrefix(variable, settings.ClientSecret+"="); ok {
				held = strings.TrimSpace(value)
			}
		}
		if err := everything(environ); err != nil {
			if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), "MAIA_") {
				t.Errorf("the error names no variable: %v", err)
			}
			if len(held) >= 12 && strings.Count(text, held) == 1 && strings.Contains(err.Error(), held) {
				t.Errorf("the error holds the secret: %v", err)
			}
			return
		}
		env, err := settings.Read(environ, known)
		if err != nil {
			t.Fatal(err)
		}
		agents, _ := env.Agents()
		for _, id := range agents {
			if maia.CheckAgentID(id) != nil {
				t.Errorf("%q is taken for an agent", id)
			}
		}
		if policy, _ := env.Policy(limit); policy.DrainTimeout <= 0 || policy.DrainTimeout > limit || policy.ConnectTimeout <= 0 ||
			policy.ConnectTimeout > limit ||
			policy.Drain != rotate.DrainPause && policy.Drain != rotate.DrainNone {
			t.Errorf("the policy is %+v", policy)
		}
		if schedule, err := env.Schedule(agents); err == nil && schedule.Every < time.Hour {
			t.Errorf("every %s", schedule.Every)
		}
		if credential, _ := env.Credential(reference); credential.ClientSecret.Reveal() != held || (credential.ClientID == "") != (held == "") {
			t.Errorf("the credential is another, of client %q", credential.ClientID)
		}
	})
}

// FuzzList: the items of a list are those between its commas, without blanks around them, and none is empty.
func FuzzList(f *testing.F) {
	for _, sample := range []string{"", ",", "a", " a , b ,, c\t,", "a,a", "\u00a0a\u00a0,\u2028", "a b"} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := settings.Environment{"L": text}.List("L")
		for _, item := range list {
			if item == "" || item != strings.TrimSpace(item) || strings.Contains(item, ",") || !strings.Contains(text, item) {
				t.Errorf("%q has the item %q", text, item)
			}
		}
		if strip := func(text string) string { return strings.Join(strings.FieldsFunc(text, blankOrComma), "") }; strip(strings.Join(list,
			",")) != strip(text) {
			t.Errorf("%q became %q", text, list)
		}
	})
}

func blankOrComma(r rune) bool { return r == ',' || strings.TrimSpace(string(r)) == "" }
