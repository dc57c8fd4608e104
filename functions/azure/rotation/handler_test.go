package rotation

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// token is a credential that gives this token.
type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// refusing is a credential without a token.
type refusing struct{ err error }

func (r refusing) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, r.err
}

const accepted = token("the-token-that-is-accepted")

// transport is Azure in memory.
func transport(apps http.Handler) policy.Transporter {
	state := blobs.New(string(accepted))
	return &http.Client{Transport: wire.Transport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Host, ".blob.") {
			state.ServeHTTP(w, r)
			return
		}
		apps.ServeHTTP(w, r)
	}))}
}

// emptyAzure is one without apps.
func emptyAzure() http.Handler {
	return containerapps.New(containerapps.Options{Token: string(accepted)})
}

const good = `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":true}},"Metadata":{}}`

func post(body string) *http.Request {
	return httptest.NewRequest(http.MethodPost, "/"+FunctionName, strings.NewReader(body))
}

// answered is what a handler answers a request with: the status, and the lines.
func answered(t *testing.T, h *Handler, request *http.Request) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	var answer struct {
		Outputs     map[string]any
		Logs        []string
		ReturnValue any
	}
	body := recorder.Body.String()
	if err := json.Unmarshal([]byte(body), &answer); err != nil || recorder.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("the answer is %q: %v", body, err)
	}
	if !strings.HasPrefix(body, `{"Outputs":{},"Logs":[`) || !strings.HasSuffix(body, "],\"ReturnValue\":null}\n") {
		t.Errorf("the answer is %q", body)
	}
	return recorder.Code, strings.Join(answer.Logs, "\n")
}

func TestBadConfigurationIsReported(t *testing.T) {
	var log bytes.Buffer
	h := New([]string{"MAIA_CONTAINER_APPS=x", "MAIA_CLIENT_SECRET=" + apiSecret}, &log)
	if status, _ := answered(t, h, httptest.NewRequest(http.MethodGet, "/", nil)); status != http.StatusOK {
		t.Errorf("it is not ready: %d", status)
	}
	status, said := answered(t, h, post(good))
	if status != http.StatusInternalServerError ||
		!strings.Contains(said, "configuration: MAIA_CLIENT_SECRET is set and MAIA_CLIENT_ID is not") ||
		strings.Contains(log.String(), apiSecret) {
		t.Errorf("got %d, %s", status, said)
	}
	failed := functiontest.Lines(t, log.Bytes())[1]
	if failed["level"] != "ERROR" || failed["msg"] != "the invocation failed" || failed["kind"] != "configuration" ||
		failed["state"] != string(rotate.NotObserved) || !strings.Contains(said, failed["error"].(string)) {
		t.Errorf("the line is %v", failed)
	}
	if err := h.RotateRunnerSecrets(t.Context(), TimerInfo{}); rotate.KindOf(err) != rotate.Configuration {
		t.Errorf("the function returns %v", err)
	}
}

func TestReady(t *testing.T) {
	var log bytes.Buffer
	h := New(with(nil), &log)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		if status, said := answered(t, h, httptest.NewRequest(method, "/", nil)); status != http.StatusOK || said != "" || log.Len() > 0 {
			t.Errorf("%s: %d, %s, and in the log %s", method, status, said, log.String())
		}
	}
}

// TestLines: each line of an invocation has its ID.
func TestLines(t *testing.T) {
	var log bytes.Buffer
	h := New(with(nil), &log)
	h.WithCredential(accepted, transport(emptyAzure()))
	request := post(strings.Replace(good, `"Metadata":{}`, `"Metadata":{"RetryContext":{"RetryCount":1,"MaxRetryCount":2}}`, 1))
	request.Header.Set("X-Azure-Functions-InvocationId", "8f7a1e6e-0000-4000-8000-000000000000")
	request.Header.Set("traceparent", "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01")
	status, said := answered(t, h, request)
	if status != http.StatusInternalServerError || !strings.HasPrefix(said, "2 of 2 runners failed or are down:\n"+appID+": configuration: ") {
		t.Errorf("got %d, %s", status, said)
	}
	all := functiontest.Lines(t, log.Bytes())
	for _, line := range all {
		if line["invocation"] != "8f7a1e6e-0000-4000-8000-000000000000" || line["trace"] != "105445aa7843bc8bf206b12000100000" ||
			line["retry"] != 1.0 || line["retries"] != 2.0 {
			t.Errorf("the line is %v", line)
		}
	}
	if all[0]["msg"] != "called" || all[0]["past_due"] != true || all[1]["msg"] != "the runner failed" {
		t.Errorf("the lines are %v", all)
	}
}

func TestCallersAreAbbreviated(t *testing.T) {
	var log bytes.Buffer
	request := post("")
	request.Header.Set("X-Azure-Functions-InvocationId", strings.Repeat("x", 100_000))
	request.Header.Set("traceparent", strings.Repeat("x-", 100_000))
	answered(t, New(with(nil), &log), request)
	other := httptest.NewRequest(http.MethodPost, "/"+strings.Repeat("x", 100_000), nil)
	if status, said := answered(t, New(with(nil), &log), other); status != http.StatusNotFound || len(said) > 500 || log.Len() > 2000 {
		t.Errorf("%d: %.200s, and %d bytes of log", status, said, log.Len())
	}
}

// TestGroupsAreIsolated: one that cannot be read is reported, and stops no other.
func TestGroupsAreIsolated(t *testing.T) {
	apps := containerapps.New(containerapps.Options{Token: string(accepted)})
	defer apps.Close()
	apps.Add(containerapps.Spec{ID: appID, Location: "westeurope", Tags: map[string]string{"Maia-Rotate": "enabled"}, Replicas: 1})
	apps.Add(containerapps.Spec{ID: appID + "-untagged", Location: "westeurope", Replicas: 1})
	apps.Add(containerapps.Spec{ID: groupID + "-bare/providers/Microsoft.App/containerApps/web", Location: "westeurope",
		Tags: map[string]string{"maia-rotate": "disabled"}, Replicas: 1})
	var log bytes.Buffer
	h := New(with(map[string]string{"MAIA_CONTAINER_APPS": "",
		"MAIA_RESOURCE_GROUPS": groupID + "-gone," + groupID + "," + groupID + "-bare"}), &log)
	h.WithCredential(accepted, transport(apps))
	status, said := answered(t, h, post(good))
	for _, words := range []string{
		"2 of 2 runners failed", groupID + "-gone: configuration: list the apps of resource group runners-gone",
		appID + ": configuration: no container of app runner has the variable OAUTH_CLIENT_SECRET",
	} {
		if status != http.StatusInternalServerError || !strings.Contains(said, words) {
			t.Errorf("%s is not in %d, %s", words, status, said)
		}
	}
	if strings.Contains(said, "untagged") {
		t.Errorf("an app without the tag is served: %s", said)
	}
	warned := slices.IndexFunc(functiontest.Lines(t, log.Bytes()), func(line map[string]any) bool {
		return line["level"] == "WARN" && line["msg"] == "no app in this resource group has the tag" && line["group"] == groupID+"-bare"
	})
	if warned < 0 || strings.Contains(said, "bare") {
		t.Errorf("of the group without an app is said %s, and logged %s", said, log.String())
	}
	if strings.Contains(log.String(), "no app with the tag") {
		t.Errorf("a runner is missed that may be that of the app that failed: %s", log.String())
	}
}

// TestNoGroupHasAnApp: then there is nothing to serve, which is reported for each.
func TestNoGroupHasAnApp(t *testing.T) {
	apps := containerapps.New(containerapps.Options{Token: string(accepted)})
	defer apps.Close()
	for _, group := range []string{groupID, groupID + "-bare"} {
		apps.Add(containerapps.Spec{ID: group + "/providers/Microsoft.App/containerApps/web", Location: "westeurope", Replicas: 1})
	}
	h := New(with(map[string]string{"MAIA_CONTAINER_APPS": "", "MAIA_RESOURCE_GROUPS": groupID + "," + groupID + "-bare"}), io.Discard)
	h.WithCredential(accepted, transport(apps))
	status, said := answered(t, h, post(good))
	for _, words := range []string{"2 of 2 runners failed", "no Container App in " + groupID + " has the tag maia-rotate=enabled",
		"no Container App in " + groupID + "-bare has the tag"} {
		if status != http.StatusInternalServerError || !strings.Contains(said, words) {
			t.Errorf("%s is not in %d, %s", words, status, said)
		}
	}
}

func TestIdentityThatIsRefused(t *testing.T) {
	var log bytes.Buffer
	h := New(with(nil), &log)
	h.WithCredential(refusing{rotate.Errorf(rotate.Permission, "the answer holds "+apiSecret)}, transport(emptyAzure()))
	status, said := answered(t, h, post(good))
	if status != http.StatusInternalServerError || !strings.Contains(said, "no token was issued to the function's identity") ||
		strings.Contains(said+log.String(), apiSecret) {
		t.Errorf("got %d, %s", status, said)
	}
}

// waiting is a credential that waits until it is released.
type waiting struct{ begun, release chan struct{} }

func (w waiting) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	close(w.begun)
	<-w.release
	return azcore.AccessToken{}, context.DeadlineExceeded
}

// TestOneInvocationAtATime: a concurrent one is answered with 200.
func TestOneInvocationAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := New(with(map[string]string{"MAIA_CONTAINER_APPS": appID}), &log)
		credential := waiting{make(chan struct{}), make(chan struct{})}
		h.WithCredential(credential, transport(emptyAzure()))
		first := make(chan int)
		go func() {
			recorder := httptest.NewRecorder()
			h.ServeHTTP(recorder, post(good))
			first <- recorder.Code
		}()
		<-credential.begun
		synctest.Wait()
		if status, said := answered(t, h, post(good)); status != http.StatusOK || said != alreadyAtWork {
			t.Errorf("the second invocation: %d, %s", status, said)
		}
		if status, _ := answered(t, h, httptest.NewRequest(http.MethodGet, "/", nil)); status != http.StatusOK {
			t.Errorf("it is not ready: %d", status)
		}
		close(credential.release)
		if status := <-first; status != http.StatusInternalServerError {
			t.Errorf("the first invocation: %d", status)
		}
		h.WithCredential(accepted, transport(emptyAzure()))
		if status, said := answered(t, h, post(good)); status != http.StatusInternalServerError || said == alreadyAtWork {
			t.Errorf("one after it: %d, %s", status, said)
		}
	})
}

// panicking is a credential that panics.
type panicking struct{}

func (panicking) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	panic("holds " + apiSecret)
}

func TestPanicIsContained(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"of an app": {}, "before": {"MAIA_CONTAINER_APPS": "", "MAIA_RESOURCE_GROUPS": groupID},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := New(with(settings), &log)
			h.WithCredential(panicking{}, transport(emptyAzure()))
			for range 2 { // nothing stays behind
				status, said := answered(t, h, post(good))
				if status != http.StatusInternalServerError || !strings.Contains(said, "panic of type string; state: nothing changed by this run") ||
					strings.Contains(said+log.String(), apiSecret) {
					t.Errorf("got %d, %s", status, said)
				}
			}
		})
	}
}

// witness is a log that keeps the context of its first line: that of an invocation.
type witness struct {
	slog.Handler
	call context.Context
}

func (w *witness) Handle(ctx context.Context, _ slog.Record) error {
	if w.call == nil {
		w.call = ctx
	}
	return nil
}

// TestDeadline: an invocation ends before the host would end the process, even if Azure does not answer.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(with(map[string]string{"MAIA_CONTAINER_APPS": appID}), io.Discard)
		seen := &witness{Handler: slog.NewJSONHandler(io.Discard, nil)}
		h.log = slog.New(seen)
		ctx, cancel := context.WithCancel(t.Context())
		silent := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ctx.Done() })
		h.WithCredential(accepted, &http.Client{Transport: wire.Transport(silent)})
		begun := time.Now()
		status, said := answered(t, h, post(good))
		until, _ := seen.call.Deadline()
		if status != http.StatusInternalServerError || time.Now().After(until) || until.Sub(begun) != 29*time.Minute+30*time.Second {
			t.Errorf("%d after %s, of %s: %s", status, time.Since(begun), until.Sub(begun), said)
		}
		cancel()
	})
}

// TestEnding: an invocation that comes while the function ends is refused, and one that is at work is waited for.
func TestEnding(t *testing.T) {
	var log bytes.Buffer
	h := New(with(map[string]string{"MAIA_CONTAINER_APPS": appID}), &log)
	credential := waiting{make(chan struct{}), make(chan struct{})}
	h.WithCredential(credential, transport(emptyAzure()))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		h.Serve(ctx, listener)
		close(ended)
	}()
	answer := make(chan int)
	go func() {
		response, err := http.Post("http://"+listener.Addr().String()+"/"+FunctionName, "application/json", strings.NewReader(good))
		if err != nil {
			t.Error(err)
			close(answer)
			return
		}
		_ = response.Body.Close()
		answer <- response.StatusCode
	}()
	<-credential.begun
	end()
	if status, said := answered(t, h, post(good).WithContext(ctx)); status != http.StatusInternalServerError ||
		!strings.Contains(said, "not ready: the function is ending") {
		t.Errorf("one that comes then: %d, %s", status, said)
	}
	select {
	case <-ended:
		t.Error("the invocation at work is not waited for")
	default:
	}
	close(credential.release)
	if status := <-answer; status != http.StatusInternalServerError {
		t.Errorf("the one at work: %d", status)
	}
	<-ended
}

func TestPlanChangesNothing(t *testing.T) {
	var log bytes.Buffer
	h := New(with(nil), &log)
	apps := containerapps.New(containerapps.Options{Token: string(accepted)})
	defer apps.Close()
	h.WithCredential(accepted, transport(apps))
	result, err := h.Plan(t.Context())
	if err != nil || len(result.Targets) != 2 || !result.Failed() {
		t.Errorf("got %+v, %v", result, err)
	}
	if result, err = h.Plan(t.Context(), appID); err != nil || len(result.Targets) != 1 || result.Targets[0].Target != appID {
		t.Errorf("got %+v, %v", result, err)
	}
	for _, call := range apps.Calls() {
		if call.Operation != "read" {
			t.Errorf("it calls %s", call.Operation)
		}
	}
}
