package load_test

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// size is how many runners a fleet has: 1,000, or few.
func size(few int) int {
	if os.Getenv("MAIA_ROTATE_PROVE") != "" {
		return 1000
	}
	return few
}

const (
	perMinute = 1000                   // requests to Maia, of all that use the account
	away      = 120 * time.Millisecond // Maia is
	clientID  = "client-of-the-runner"
)

// hosts are those that are served in memory: the functions make their clients of Maia themselves, on http.DefaultTransport.
var hosts sync.Map

type byHost struct{}

// RoundTrip implements http.RoundTripper.
func (byHost) RoundTrip(request *http.Request) (*http.Response, error) {
	served, ok := hosts.Load(request.URL.Host)
	if !ok {
		return nil, fmt.Errorf("no host %s in this test", request.URL.Host)
	}
	return served.(http.RoundTripper).RoundTrip(request)
}

func TestMain(m *testing.M) {
	http.DefaultTransport = byHost{}
	os.Exit(m.Run())
}

// account is Maia with the limit of an account, and what of it is counted.
type account struct {
	*maiatest.Server
	host string
	ids  []string // of the runners, in the order of their names

	mu              sync.Mutex
	accepted        []time.Time          // requests that count to the limit
	refused         int                  // by the limit
	early           int                  // requests about a runner that came sooner than the last refusal had asked
	notBefore       map[string]time.Time // by runner
	refreshed       []string             // runners, in the order of their refreshes
	onRefresh       func()               // before each; nil: nothing
	cut             map[string]time.Time
	longestDowntime time.Duration // the longest time from a refresh until a connection of one that came back by itself
}

func newAccount(t *testing.T, n int) *account {
	a := &account{
		Server: maiatest.New(maiatest.WithRateLimit(perMinute), maiatest.WithAPICredential("api", "the-secret-of-the-api-credential")),
		host:   strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())) + ".maia.test", notBefore: map[string]time.Time{},
		cut: map[string]time.Time{},
	}
	for i := range n {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1)
		a.ids = append(a.ids, id)
		a.AddAgent(maiatest.AgentSpec{ID: id, Name: fmt.Sprintf("runner %04d", i+1), ClientID: clientID})
	}
	hosts.Store(a.host, a)
	t.Cleanup(func() {
		hosts.Delete(a.host)
		a.Close()
	})
	return a
}

// environ is what every function's environment says of Maia and of the runners.
func (a *account) environ(more ...string) []string {
	return append([]string{
		"MAIA_API_URL=" + maiatest.APIURL("https://"+a.host), "MAIA_TOKEN_URL=" + maiatest.TokenURL("https://"+a.host),
		"MAIA_CLIENT_ID=api", "MAIA_CLIENT_SECRET=the-secret-of-the-api-credential",
	}, more...)
}

// RoundTrip implements http.RoundTripper.
func (a *account) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := sleep(request.Context(), away); err != nil {
		return nil, err
	}
	agent := ""
	if parts := strings.Split(request.URL.Path, "/"); len(parts) > 4 && parts[3] == "agents" {
		agent = parts[4]
	}
	a.mu.Lock()
	now := time.Now()
	if agent != "" && now.Before(a.notBefore[agent]) {
		a.early++
	}
	hook := a.onRefresh
	a.mu.Unlock()
	refresh := request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/credentials")
	if refresh && hook != nil {
		hook()
	}
	answer, err := a.Transport().RoundTrip(request)
	if err != nil || agent == "" {
		return answer, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if answer.StatusCode == http.StatusTooManyRequests {
		a.refused++
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		a.notBefore[agent] = now.Add(time.Duration(seconds) * time.Second)
		return answer, nil
	}
	a.accepted = append(a.accepted, now)
	if refresh && answer.StatusCode == http.StatusOK {
		a.refreshed = append(a.refreshed, agent)
		a.cut[agent] = now
	}
	return answer, nil
}

// login is that of an instance.
func (a *account) login(id, secret string) (*maiatest.Instance, error) {
	instance, err := a.Connect(id, clientID, secret)
	a.mu.Lock()
	defer a.mu.Unlock()
	if cut, down := a.cut[id]; down && err == nil {
		a.longestDowntime = max(a.longestDowntime, time.Since(cut))
		delete(a.cut, id)
	}
	return instance, err
}

// mostInAMinute is the largest number of requests that Maia answered in any minute.
func (a *account) mostInAMinute() (most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := 0
	for i, at := range a.accepted {
		for at.Sub(a.accepted[first]) >= time.Minute {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// refusals are how many requests the limit refused, of how many in all.
func (a *account) refusals() (refused, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused, a.refused + len(a.accepted)
}

// order is that of the refreshes so far.
func (a *account) order() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.refreshed)
}

// rotated is how many runners were refreshed, and how many refreshes there were.
func (a *account) rotated() (runners, refreshes int) {
	for _, id := range a.ids {
		n := a.Refreshes(id)
		refreshes += n
		runners += min(n, 1)
	}
	return runners, refreshes
}

// mustBeBack: the runner is connected and not paused, and its store holds what Maia does.
func (a *account) mustBeBack(t *testing.T, client *maia.Client, id, stored string) {
	t.Helper()
	agent, err := client.Agent(t.Context(), id)
	if err != nil || !agent.Connected || agent.Status != maia.StatusRunning {
		t.Errorf("%s is %q, connected %t: %v", id, agent.Status, agent.Connected, err)
	}
	if stored != a.LiveSecret(id) {
		t.Errorf("the store of %s does not hold what Maia does", id)
	}
}

// mustKeepTheLimit: what was asked of Maia stayed within the limit, and nobody asks again and again who was asked to wait. Where
// all is calm the limit is hardly met.
func (a *account) mustKeepTheLimit(t *testing.T, cloud string, calm bool) {
	t.Helper()
	refused, all := a.refusals()
	t.Logf("figure: load, %s: most requests to Maia in a minute: %d", cloud, a.mostInAMinute())
	t.Logf("figure: load, %s: requests to Maia that its limit refused: %d of %d", cloud, refused, all)
	t.Logf("figure: load, %s: longest time that a runner was down, in seconds: %.0f", cloud, a.longestDowntime.Seconds())
	t.Logf("figure: load, %s: requests to Maia about a runner that came sooner than its last answer had asked: %d", cloud, a.early)
	if a.early > all/10 || calm && (a.early > 0 || refused > all/100) {
		t.Errorf("of %d requests %d were refused, and %d came sooner than they were asked to", all, refused, a.early)
	}
	if most := a.mostInAMinute(); most > perMinute {
		t.Errorf("%d requests in a minute", most)
	}
}

// unlimited is a client for reading what came of it: it is not counted.
func (a *account) unlimited(t *testing.T) *maia.Client {
	t.Helper()
	time.Sleep(2 * time.Minute) // the limit is the account's, and what was asked before is over
	return a.Client(t)
}

// mustKeepNothing has functions serve a small fleet and a large one. What of it is left in them, when the world around is
// gone, is the same.
func mustKeepNothing(t *testing.T, cloud string, serve func(t *testing.T, n int) (function any)) {
	large := size(40)
	small := large / 10
	kept := func(n int) int {
		var function any
		synctest.Test(t, func(t *testing.T) { _ = serve(t, small) }) // what is kept once and for all
		before := heap()
		synctest.Test(t, func(t *testing.T) { function = serve(t, n) })
		after := heap()
		runtime.KeepAlive(function)
		return (after - before) / 1024
	}
	few, many := kept(small), kept(large)
	t.Logf("figure: load, %s: growth of the heap by %d runners, in KiB: %d", cloud, small, few)
	t.Logf("figure: load, %s: growth of the heap by %d runners, in KiB: %d", cloud, large, many)
	if more := many - few; more > 256 {
		t.Errorf("for %d runners more it keeps %d KiB more", large-small, more)
	}
}

// heap is what is in use, in bytes.
func heap() int {
	runtime.GC()
	runtime.GC() // what pools keep goes with the second
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int(memory.HeapAlloc)
}

// number is the place of a runner, from 1.
func number(id string) int {
	n, _ := strconv.Atoi(id[strings.LastIndex(id, "-")+1:])
	return cmp.Or(n, -1)
}
