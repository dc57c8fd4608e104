package rotate_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// lies are what a broken or malicious Maia says of credentials, in the place of the secret that is given. In none is what may be stored.
func lies() map[string]func(secret string) string {
	endless := strings.Repeat("x", 1<<20)
	of := func(clientID, secret string) string {
		return fmt.Sprintf(`{"clientId":%q,"clientSecret":"%s"}`, clientID, secret)
	}
	return map[string]func(string) string{
		"another runner's credentials": func(string) string { return of("client-of-another-runner", "the-secret-of-another-runner") },
		"another runner's client":      func(secret string) string { return of("client-of-another-runner", secret) },
		"no secret":                    func(string) string { return of(clientID, "") },
		"a short secret":               func(string) string { return of(clientID, "short") },
		"a mask":                       func(string) string { return of(clientID, "●●●●●●●●●●●●") },
		"a garbled secret":             func(secret string) string { return of(clientID, secret[:8]+"\xff"+secret[9:]) },
		"a secret and something":       func(secret string) string { return of(clientID, secret+`\u200b`) },
		"two secrets": func(secret string) string {
			return of(clientID, "the-secret-of-no-runner\",\"clientSecret\":\""+secret)
		},
		"a number":          func(string) string { return `{"clientId":"` + clientID + `","clientSecret":1234567890}` },
		"a page":            func(secret string) string { return "<html>" + secret },
		"an endless answer": func(secret string) string { return of(clientID, secret+endless) },
	}
}

// lying is Maia with some of its answers replaced.
type lying struct {
	h        *platform
	lie      func(secret string) string // nil: it is honest
	about    func(method string) bool   // which of the calls about credentials are answered with the lie
	reported int
}

func (l *lying) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := l.h.maia.Transport().RoundTrip(request)
	if err == nil && l.lie != nil && strings.HasSuffix(request.URL.Path, "/credentials") && l.about(request.Method) &&
		answer.StatusCode == http.StatusOK {
		_ = answer.Body.Close()
		body := l.lie(l.h.maia.LiveSecret(agentID))
		answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader([]byte(body))), int64(len(body))
		answer.Header.Del("Content-Length")
		l.reported++
	}
	return answer, err
}

// client has the run speak to the liar.
func (l *lying) client(r *rotate.Rotator) {
	id, secret := l.h.maia.APICredential()
	client, err := maia.New(maia.Config{
		APIURL: "http://127.0.0.1/dpc", TokenURL: "http://127.0.0.1/oauth/dpc/token", ClientID: id, ClientSecret: maia.NewSecret(secret),
		HTTPClient: &http.Client{Transport: l},
	})
	if err != nil {
		l.h.t.Fatal(err)
	}
	r.Maia = client
}

// A refresh whose answer is a lie has been carried out all the same: what Maia holds is read, and the runner is back by the same run.
func TestHostileAnswerOfARefresh(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(lies())) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				liar := &lying{h: h, lie: lies()[name], about: func(method string) bool { return method == http.MethodPost }}
				report, err := h.run(rotate.Rotate, liar.client)
				if err != nil || report.Outcome != rotate.Rotated || liar.reported != 1 {
					t.Errorf("outcome %q, error %v, %d lies", report.Outcome, err, liar.reported)
				}
				h.mustBeBack()
				h.mustRefresh(1)
			})
		})
	}
}

// Where every answer is a lie from the refresh on, nothing is stored and the run fails; the next one, with an honest Maia, brings the
// runner back without another refresh.
func TestHostileAnswersFromTheRefreshOn(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(lies())) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				refreshed := false
				liar := &lying{h: h, lie: lies()[name], about: func(method string) bool {
					refreshed = refreshed || method == http.MethodPost
					return refreshed
				}}
				_, err := h.run(rotate.Rotate, liar.client)
				if err == nil || h.store != first || h.restarts != 0 {
					t.Errorf("error %v, %d restarts, and the store is changed: %t", err, h.restarts, h.store != first)
				}
				if text := fmt.Sprint(err); strings.Contains(text, "the-secret-of-another-runner") ||
					strings.Contains(text, h.maia.LiveSecret(agentID)) {
					t.Errorf("a secret is in %s", text)
				}
				_, err = h.run(rotate.Heal, liar.client)
				if err == nil || h.store != first {
					t.Errorf("healing: error %v, and the store is changed: %t", err, h.store != first)
				}
				liar.lie = nil
				if report, err := h.run(rotate.Rotate, liar.client, every(time.Hour)); err != nil || report.Outcome != rotate.Rotated {
					t.Errorf("with an honest Maia: outcome %q, %v", report.Outcome, err)
				}
				h.mustBeBack()
				h.mustRefresh(1)
			})
		})
	}
}

// Where the reads are lies, nothing is refreshed, and nothing is left of the run.
func TestHostileReads(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(lies())) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, mode := range []rotate.Mode{rotate.Rotate, rotate.Heal} {
					h := newPlatform(t)
					liar := &lying{h: h, lie: lies()[name], about: func(string) bool { return true }}
					_, err := h.run(mode, liar.client)
					if err == nil || h.store != first || h.restarts != 0 || h.note.Intent != nil || h.note.Paused != nil {
						t.Errorf("%s: error %v, %d restarts, note %+v, and the store is changed: %t", mode, err, h.restarts, h.note, h.store != first)
					}
					h.mustRefresh(0)
					h.mustNotLeak()
				}
			})
		})
	}
}

// A lie in the form of the truth is not recognised: the runner does not come back with it. The next run with an honest Maia
// brings it back, without another refresh.
func TestHostileAnswerInTheFormOfTheTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		liar := &lying{h: h, lie: func(string) string {
			return `{"clientId":"` + clientID + `","clientSecret":"the-secret-of-no-runner"}`
		}, about: func(method string) bool { return method == http.MethodPost }}
		if report, err := h.run(rotate.Rotate, liar.client); err == nil {
			h.mustBeBack()
		} else if report.Outcome == rotate.Rotated {
			t.Errorf("%v, and the outcome %q", err, report.Outcome)
		}
		liar.lie = nil
		if _, err := h.run(rotate.Rotate, liar.client, every(time.Hour)); err != nil {
			t.Error(err)
		}
		h.mustBeBack()
		h.mustRefresh(1)
	})
}
