package controlplane

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"
)

// server answers each call with its Deployment as it then is: the number of changes so far.
type server struct{ changes int }

func (s *server) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet {
		s.changes++
	}
	return answerOf(request, http.StatusOK, []byte(strings.Repeat("x", s.changes))), nil
}

// client calls a server through a stage.
type client struct {
	t     *testing.T
	stage *Stage
	next  *server
	does  atomic.Int32 // how often something was done with the cluster
}

func play(t *testing.T, quirk string) *client {
	t.Helper()
	c := &client{t: t, next: &server{}}
	var err error
	subject := Subject{Namespace: "runners", Release: "runner", Deployment: "app", Secret: "config"}
	c.stage, err = Play(&rest.Config{Host: "https://cluster.test"}, subject, func(func() error) { c.does.Add(1) }, func() {}, quirk)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// call is the status and the body of an answer, and how long it took.
func (c *client) call(method, resource string) (code int, body string, took time.Duration) {
	c.t.Helper()
	began := time.Now()
	path := "https://cluster.test/api/v1/namespaces/runners/" + resource
	response, err := c.stage.Wrap(c.next).RoundTrip(httptest.NewRequest(method, path, nil))
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(text), time.Since(began)
}

// codes are the statuses of a call that is made again and again.
func (c *client) codes(method, resource string, times int) (codes []int) {
	for range times {
		code, _, _ := c.call(method, resource)
		codes = append(codes, code)
	}
	return codes
}

// TestQuirksOnTheWire checks what a client sees of each quirk that changes calls. The other quirks are the API server's own doing.
func TestQuirksOnTheWire(t *testing.T) {
	waits := func(d time.Duration) func(*client) {
		return func(c *client) {
			c.call(http.MethodPatch, "deployments/app")
			c.call(http.MethodPatch, "deployments/app")
			if c.does.Load() != 1 {
				c.t.Errorf("the pods were made to wait %d times", c.does.Load())
			}
			time.Sleep(d - time.Second)
			if c.does.Load() != 1 {
				c.t.Errorf("they wait for less than %s", d)
			}
			time.Sleep(2 * time.Second)
			if synctest.Wait(); c.does.Load() != 2 {
				c.t.Errorf("they wait for more than %s", d)
			}
		}
	}
	refusedFromTheUpgradeOn := func(method, resource string) func(*client) {
		return func(c *client) {
			if method != http.MethodPost {
				if code, _, _ := c.call(method, resource); code != http.StatusOK {
					c.t.Errorf("before the upgrade: %d", code)
				}
			}
			c.call(http.MethodPost, "secrets")
			if code, _, _ := c.call(method, resource); code != http.StatusForbidden {
				c.t.Errorf("after the upgrade has begun: %d", code)
			}
			time.Sleep(refusedFor)
			if code, _, _ := c.call(method, resource); code != http.StatusOK {
				c.t.Errorf("after %s: %d", refusedFor, code)
			}
		}
	}
	onTheWire := map[string]func(*client){
		"pods-crash-20s": waits(20 * time.Second),
		"rollout-9m":     waits(9 * time.Minute),
		"rollout-60m":    waits(time.Hour),
		"deployment-conflicts-once": func(c *client) {
			if codes := c.codes(http.MethodPatch, "deployments/app", 2); codes[0] != http.StatusConflict || codes[1] != http.StatusOK {
				c.t.Errorf("got %v", codes)
			}
		},
		"scaled-at-the-refresh": func(c *client) {
			c.codes(http.MethodPost, "secrets", 2)
			if c.does.Load() != 1 {
				c.t.Errorf("scaled %d times", c.does.Load())
			}
		},
		"deployment-reads-lag-30s": func(c *client) {
			read := func() string { _, body, _ := c.call(http.MethodGet, "deployments/app"); return body }
			before := read()
			c.call(http.MethodPatch, "deployments/app")
			if read() != before {
				c.t.Error("a read shows the change at once")
			}
			if time.Sleep(lagTime); read() == before {
				c.t.Errorf("a read does not show the change after %s", lagTime)
			}
		},
		"too-many-requests": func(c *client) {
			if codes := c.codes(http.MethodGet, "pods", 6); codes[3] != http.StatusOK || codes[4] != http.StatusTooManyRequests ||
				codes[5] != http.StatusOK {
				c.t.Errorf("got %v", codes)
			}
		},
		"answers-take-25s": func(c *client) {
			if _, _, took := c.call(http.MethodPatch, "secrets/config"); took != slowTime {
				c.t.Errorf("the first took %s", took)
			}
			if _, _, took := c.call(http.MethodPatch, "secrets/config"); took != 0 {
				c.t.Errorf("the second took %s", took)
			}
		},
		"records-refused-after-the-refresh":   refusedFromTheUpgradeOn(http.MethodPost, "secrets"),
		"records-immutable-after-the-refresh": refusedFromTheUpgradeOn(http.MethodPut, "secrets/record"),
	}
	for _, q := range playables() {
		if q.begin != nil {
			continue
		}
		t.Run(q.Name, func(t *testing.T) {
			read := onTheWire[q.Name]
			if read == nil {
				t.Fatal("nothing tests it")
			}
			synctest.Test(t, func(t *testing.T) { read(play(t, q.Name)) })
		})
	}
}

func TestHastened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := play(t, "rollout-60m")
		c.stage.Hasten(8)
		c.call(http.MethodPatch, "deployments/app")
		if time.Sleep(time.Hour/8 - time.Second); c.does.Load() != 1 {
			t.Error("the pods wait for less than an eighth of an hour")
		}
		time.Sleep(2 * time.Second)
		if synctest.Wait(); c.does.Load() != 2 {
			t.Error("they wait for more than that")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := play(t, "records-refused-after-the-refresh")
		c.stage.Hasten(8)
		c.call(http.MethodPost, "secrets")
		if time.Sleep(refusedFor/8 - time.Second); c.codes(http.MethodPost, "secrets", 1)[0] != http.StatusForbidden {
			t.Error("what is refused is not long enough")
		}
		if time.Sleep(time.Second); c.codes(http.MethodPost, "secrets", 1)[0] != http.StatusOK {
			t.Error("what is refused is for too long")
		}
	})
}

func TestQuirksAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, q := range Quirks() {
		if q.Name == "" || q.Behaviour == "" || q.Source == "" || seen[q.Name] {
			t.Errorf("%+v is not described, or twice", q)
		}
		seen[q.Name] = true
	}
}

func TestUnknownQuirk(t *testing.T) {
	if _, err := Play(&rest.Config{Host: "https://cluster.test"}, Subject{}, nil, nil, "no-such"); err == nil ||
		!strings.Contains(err.Error(), `"no-such"`) {
		t.Errorf("got %v", err)
	}
}
