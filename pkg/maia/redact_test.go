package maia_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

var hexDigits = regexp.MustCompile(`%..`)

func quoteJSON(t testing.TB, value string) string {
	t.Helper()
	quoted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// However a text has a secret in it, nothing is left of it, and everything else stays.
func TestRedact(t *testing.T) {
	for _, value := range []string{secret, `a"quoted\ <&> secret/with+signs=%`, `"both-ends"`, `\\\\\\\\`, "line\nfeed-in-it", "short",
		"ünïcödé-secret"} {
		std, safe := base64.StdEncoding, base64.URLEncoding
		for name, written := range map[string]string{
			"as it is":           value,
			"JSON":               quoteJSON(t, value),
			"JSON in JSON":       quoteJSON(t, quoteJSON(t, value)),
			"JSON, not for HTML": strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(quoteJSON(t, value)),
			"slashes escaped":    strings.ReplaceAll(value, "/", `\/`),
			"%q":                 fmt.Sprintf("%q", value),
			"%q twice":           fmt.Sprintf("%q", fmt.Sprintf("%q", value)),
			"query":              url.QueryEscape(value),
			"query, lower case":  hexDigits.ReplaceAllStringFunc(url.QueryEscape(value), strings.ToLower),
			"path":               url.PathEscape(value),
			"base64":             std.EncodeToString([]byte(value)),
			"base64 of a URL":    safe.EncodeToString([]byte(value)),
		} {
			text := "before " + written + " after"
			got := maia.Redact(text, maia.Secret{}, maia.NewSecret(value))
			if strings.Contains(got, written) || !strings.Contains(got, "[redacted]") {
				t.Errorf("%s of %q: %q", name, value, got)
			}
			if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("%s of %q: %q", name, value, got)
			}
		}
	}
}

// In the middle of something that was encoded as a whole (a Basic header, a release record, a Secret's data) it is found wherever it
// stands.
func TestRedactInTheMiddleOfBase64(t *testing.T) {
	for before := range 7 {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			whole := strings.Repeat("x", before) + secret + "::and more"
			got := maia.Redact(encoding.EncodeToString([]byte(whole)), maia.NewSecret(secret))
			left, right, found := strings.Cut(got, "[redacted]")
			if !found || len(left) > before*8/6+1 || strings.Contains(right, "[redacted]") {
				t.Errorf("%d bytes before it: %q", before, got)
			}
		}
	}
}

func TestRedactLeavesOthersAlone(t *testing.T) {
	const text = "nothing to see, 100% of it"
	if got := maia.Redact(text); got != text {
		t.Errorf("%q", got)
	}
	if got := maia.Redact(text, maia.Secret{}, maia.NewSecret(secret)); got != text {
		t.Errorf("%q", got)
	}
	if got := maia.Redact("one two-and-more", maia.NewSecret("two"), maia.NewSecret("two-and-more")); got != "one [redacted]" {
		t.Errorf("a secret that another begins with: %q", got)
	}
}

// A gateway that quotes a request in its own escapes gives nothing away.
func TestProblemsQuoteNoFormOfASecret(t *testing.T) {
	for _, quoted := range []string{
		url.QueryEscape(apiToken), base64.StdEncoding.EncodeToString([]byte("Bearer " + apiToken)), quoteJSON(t, quoteJSON(t, apiSecret)),
		base64.StdEncoding.EncodeToString([]byte("api:" + apiSecret)),
	} {
		problem := `{"title":"refused","detail":` + quoteJSON(t, quoted) + `}`
		client := newClient(t, withToken(func(*http.Request) (*http.Response, error) { return answer(400, problem), nil }))
		wantError(t, client.Command(t.Context(), agentID, maia.CommandPause), maia.ErrRejected, "refused", "[redacted]")
	}
}
