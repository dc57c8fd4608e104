package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
)

// Quirks are the ways in which a cluster, and what runs in it, may behave.
func Quirks() []quirk.Quirk {
	var quirks []quirk.Quirk
	for _, p := range playables() {
		quirks = append(quirks, p.Quirk)
	}
	return quirks
}

// playable is a quirk with what plays it.
type playable struct {
	quirk.Quirk
	begin func(*Stage) error      // what there is from the beginning; in real time
	call  func(*Stage, *exchange) // what becomes of a call of the client's
}

const (
	kubernetesPages = "Kubernetes documentation"
	asReported      = "the vendor's chart README recommends it"
	wordless        = "not documented"
)

func playables() []playable {
	return []playable{
		{quirk.Quirk{Name: "pods-crash-20s", Behaviour: "new pods crash for 20 s, and then come up by themselves", Source: kubernetesPages},
			nil, podsWait("CrashLoopBackOff", 20*time.Second)},
		{quirk.Quirk{Name: "rollout-9m", Behaviour: "the containers of new pods take 9 minutes to start", Source: wordless},
			nil, podsWait("ContainerCreating", 9*time.Minute)},
		{quirk.Quirk{Name: "rollout-60m", Behaviour: "the containers of new pods take an hour to start", Source: wordless},
			nil, podsWait("ContainerCreating", time.Hour)},
		{quirk.Quirk{Name: "quota-on-secrets", Behaviour: "a ResourceQuota on Secrets has no room", Source: kubernetesPages,
			Refused: "a ResourceQuota has no room for it"}, (*Stage).fullQuota, nil},
		{quirk.Quirk{Name: "new-secrets-denied", Behaviour: "an admission policy denies new Secrets", Source: kubernetesPages,
			Refused: "an admission policy of the cluster refuses it"}, denies("CREATE", "false"), nil},
		{quirk.Quirk{Name: "records-immutable", Behaviour: "an admission policy denies changes of Helm's release records",
			Source:  kubernetesPages,
			Refused: "an admission policy of the cluster refuses it"}, denies("UPDATE",
			"!object.metadata.name.startsWith('sh.helm.release.')"), nil},
		{quirk.Quirk{Name: "record-at-the-limit", Behaviour: "the release record is nearly 1 MiB long", Source: kubernetesPages,
			Refused: "it is longer than Kubernetes keeps"}, (*Stage).longRecord, nil},
		{quirk.Quirk{Name: "secret-managed-by-another", Behaviour: "another tool writes the live Secret", Source: asReported,
			Refused: "is managed by external-secrets"}, (*Stage).managedSecret, nil},
		{quirk.Quirk{Name: "deployment-conflicts-once", Behaviour: "the first change of a Deployment is answered with a conflict",
			Source: kubernetesPages},
			nil, once("PATCH deployments", http.StatusConflict, "Conflict", "the object has been modified")},
		{quirk.Quirk{Name: "scaled-at-the-refresh", Behaviour: "an autoscaler doubles the replicas while the release is upgraded",
			Source: wordless},
			nil, atUpgrade((*Stage).scaleUp)},
		{quirk.Quirk{Name: "deployment-reads-lag-30s", Behaviour: "for 30 s after a change, a Deployment is read as it was before",
			Source: wordless},
			nil, (*Stage).lag},
		{quirk.Quirk{Name: "too-many-requests", Behaviour: "every fifth call is answered 429, with a Retry-After", Source: kubernetesPages},
			nil, (*Stage).limit},
		{quirk.Quirk{Name: "answers-take-25s", Behaviour: "the first answer to each kind of change takes 25 s", Source: wordless},
			nil, (*Stage).slow},
		{quirk.Quirk{Name: "records-refused-after-the-refresh", Behaviour: "a quota on Secrets is full from the upgrade on, for 40 minutes",
			Source: kubernetesPages},
			nil, fromUpgrade("POST secrets", `exceeded quota: records, requested: secrets=1, used: secrets=9, limited: secrets=9`)},
		{quirk.Quirk{Name: "records-immutable-after-the-refresh",
			Behaviour: "changes of release records are denied from the upgrade on, for 40 minutes",
			Source:    kubernetesPages},
			nil, fromUpgrade("PUT secrets", `ValidatingAdmissionPolicy 'records' with binding 'records' denied request: records are final`)},
	}
}

// Subject is what quirks are played on: one release of a runner.
type Subject struct {
	Namespace  string
	Release    string
	Deployment string
	Secret     string
}

// Stage plays quirks on one runner.
type Stage struct {
	Subject
	clients *kubernetes.Clientset
	do      func(func() error) // has something done with the cluster
	settled func()             // is called when something has changed that the caller follows

	playing []playable

	mu       sync.Mutex
	hastened int // so many times faster is what takes minutes; 0 is 1
	happened map[string]bool
	until    map[string]time.Time
	calls    int
	scaled   int32
	shown    map[string]*http.Response // by path: the last answer to a read, without its body
	bodies   map[string][]byte
}

// Play has quirks played from now on, and makes what they need beforehand. admin is an administrator. do does things that take
// real time, later; followed is called when they have changed what runs.
func Play(admin *rest.Config, subject Subject, do func(func() error), followed func(), names ...string) (*Stage, error) {
	clients, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return nil, fmt.Errorf("controlplane: %w", err)
	}
	s := &Stage{Subject: subject, clients: clients, do: do, settled: followed,
		happened: map[string]bool{}, until: map[string]time.Time{}, shown: map[string]*http.Response{}, bodies: map[string][]byte{}}
	for _, name := range names {
		all := playables()
		i := slices.IndexFunc(all, func(p playable) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("controlplane: there is no quirk %q", name)
		}
		s.playing = append(s.playing, all[i])
		if all[i].begin == nil {
			continue
		}
		if err := all[i].begin(s); err != nil {
			return nil, fmt.Errorf("controlplane: quirk %s: %w", name, err)
		}
	}
	return s, nil
}

// Hasten makes rollouts, and refusals that end, so many times faster, for callers in real time.
func (s *Stage) Hasten(times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hastened = times
}

// pace is how many times faster. The lock is held.
func (s *Stage) pace() time.Duration { return time.Duration(max(1, s.hastened)) }

// exchange is one call, and what becomes of it.
type exchange struct {
	request *http.Request
	what    string         // "PATCH deployments": of a change that has an effect; "GET deployments" of a read; empty of anything else
	answer  *http.Response // if it is not carried out
	after   []func(*http.Response) (*http.Response, error)
}

// Wrap has the calls of a client play along.
func (s *Stage) Wrap(next http.RoundTripper) http.RoundTripper { return staged{s, next} }

type staged struct {
	stage *Stage
	next  http.RoundTripper
}

func (s staged) RoundTrip(request *http.Request) (*http.Response, error) {
	e := &exchange{request: request, what: whatOf(request)}
	for _, p := range s.stage.playing {
		if p.call != nil && e.answer == nil {
			p.call(s.stage, e)
		}
	}
	if e.answer != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return e.answer, nil
	}
	response, err := s.next.RoundTrip(request)
	for _, after := range e.after {
		if err != nil {
			break
		}
		response, err = after(response)
	}
	return response, err
}

var callPath = regexp.MustCompile(`/namespaces/[^/]+/([a-z]+)(?:/[^/]+)?$`)

func whatOf(request *http.Request) string {
	parts := callPath.FindStringSubmatch(request.URL.Path)
	if parts == nil || request.URL.Query().Has("dryRun") {
		return ""
	}
	return request.Method + " " + parts[1]
}

// first reports whether something happens for the first time.
func (s *Stage) first(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.happened[what]
	s.happened[what] = true
	return !was
}

// podsWait has the containers of the pods wait that the first change of the Deployment makes.
func podsWait(reason string, d time.Duration) func(*Stage, *exchange) {
	return func(s *Stage, e *exchange) {
		if e.what != "PATCH deployments" || !s.first(reason) {
			return
		}
		s.do(func() error { return s.annotate("runner.test/wait", reason) })
		s.mu.Lock()
		ends := d / s.pace()
		s.mu.Unlock()
		time.AfterFunc(ends, func() {
			s.do(func() error { return s.annotate("runner.test/wait", "") })
			s.settled()
		})
	}
}

func (s *Stage) annotate(name, value string) error {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, name, value)
	namespaces := s.clients.CoreV1().Namespaces()
	_, err := namespaces.Patch(context.Background(), s.Namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// once has the first call of a kind refused.
func once(what string, code int, reason metav1.StatusReason, message string) func(*Stage, *exchange) {
	return func(s *Stage, e *exchange) {
		if e.what == what && s.first("refused "+what) {
			e.answer = refusal(e.request, code, reason, message)
		}
	}
}

// atUpgrade does something right before the record of an upgrade is made.
func atUpgrade(do func(*Stage) error) func(*Stage, *exchange) {
	return func(s *Stage, e *exchange) {
		if e.what == "POST secrets" && s.first("upgrade") {
			s.do(func() error { return do(s) })
			s.settled()
		}
	}
}

// refusedFor is how long changes are refused after the upgrade.
const refusedFor = 40 * time.Minute

// fromUpgrade refuses changes of release records from the first upgrade on.
func fromUpgrade(what, message string) func(*Stage, *exchange) {
	return func(s *Stage, e *exchange) {
		begins := e.what == "POST secrets" && s.first("refusals of "+what)
		s.mu.Lock()
		defer s.mu.Unlock()
		if begins {
			s.until[what] = time.Now().Add(refusedFor / s.pace())
		}
		if e.what == what && time.Now().Before(s.until[what]) {
			e.answer = refusal(e.request, http.StatusForbidden, metav1.StatusReasonForbidden, "secrets is forbidden: "+message)
		}
	}
}

func (s *Stage) scaleUp() error {
	deployments := s.clients.AppsV1().Deployments(s.Namespace)
	scale, err := deployments.GetScale(context.Background(), s.Deployment, metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas *= 2
	s.mu.Lock()
	s.scaled = scale.Spec.Replicas
	s.mu.Unlock()
	_, err = deployments.UpdateScale(context.Background(), s.Deployment, scale, metav1.UpdateOptions{FieldManager: "hpa"})
	return err
}

// Scaled is the number of replicas that the autoscaler has set; 0 if it has not.
func (s *Stage) Scaled() int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scaled
}

// lagTime is how long a read shows what was before a change.
const lagTime = 30 * time.Second

// lag has reads of Deployments show what they showed before a change.
func (s *Stage) lag(e *exchange) {
	path := e.request.URL.Path
	s.mu.Lock()
	defer s.mu.Unlock()
	switch old, shown := s.shown[path]; {
	case e.what == "PATCH deployments":
		s.until[path] = time.Now().Add(lagTime)
	case e.what == "GET deployments" && shown && time.Now().Before(s.until[path]):
		e.answer = withBody(old, s.bodies[path])
	case e.what == "GET deployments":
		e.after = append(e.after, func(response *http.Response) (*http.Response, error) {
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK {
				return withBody(response, body), err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.shown[path], s.bodies[path] = response, body
			return withBody(response, body), nil
		})
	}
}

// withBody is an answer with a body of its own.
func withBody(response *http.Response, body []byte) *http.Response {
	with := *response
	with.Body = io.NopCloser(bytes.NewReader(body))
	return &with
}

// limitedEvery is how many calls there are for one that is too many.
const limitedEvery = 5

func (s *Stage) limit(e *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.calls%limitedEvery == 0 {
		e.answer = refusal(e.request, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many requests, please try again later")
		e.answer.Header.Set("Retry-After", "1")
	}
}

// slowTime is how long a slow answer takes.
const slowTime = 25 * time.Second

// slow has the first answer to each kind of change come late.
func (s *Stage) slow(e *exchange) {
	if e.what == "" || strings.HasPrefix(e.what, http.MethodGet) || strings.HasSuffix(e.what, " leases") || !s.first("slow "+e.what) {
		return
	}
	e.after = append(e.after, func(response *http.Response) (*http.Response, error) {
		timer := time.NewTimer(slowTime)
		defer timer.Stop()
		select {
		case <-timer.C:
			return response, nil
		case <-e.request.Context().Done():
			_ = response.Body.Close()
			return nil, e.request.Context().Err()
		}
	})
}

// refusal is an answer of the API server's that says no.
func refusal(request *http.Request, code int, reason metav1.StatusReason, message string) *http.Response {
	body := fmt.Appendf(nil, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":%q,"reason":%q,"code":%d}`,
		message, reason, code)
	return answerOf(request, code, body)
}

func answerOf(request *http.Request, code int, body []byte) *http.Response {
	return &http.Response{
		StatusCode: code, Status: fmt.Sprintf("%d %s", code, http.StatusText(code)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: request,
	}
}
