package awsjson_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

type getInput struct {
	SecretId string
	Nested   *struct{ Known []struct{ Name string } }
	Count    *int
}

type getOutput struct {
	ARN          string
	SecretString string
	CreatedDate  *awsjson.Time
}

// created has milliseconds, which must survive the wire.
var created = time.UnixMilli(1700000000123)

// newHandler returns a service with one operation, and the number of times that it was done.
func newHandler(t *testing.T) (*awsjson.Handler, *atomic.Int32) {
	h := awsjson.New(awsjson.Config{
		SigningName: "secretsmanager", TargetPrefix: "secretsmanager", Region: "eu-west-1",
		ErrorMember: "Message", ServerError: "InternalServiceError", ResourceMembers: []string{"SecretId", "List"},
	})
	t.Cleanup(h.Close)
	done := new(atomic.Int32)
	awsjson.Register(h, "GetSecretValue", func(in *getInput) (*getOutput, error) {
		done.Add(1)
		switch in.SecretId {
		case "missing":
			return nil, awsjson.Errorf("ResourceNotFoundException", "no %s", in.SecretId)
		case "broken":
			return nil, errors.New("broken")
		}
		return &getOutput{ARN: in.SecretId, SecretString: "value", CreatedDate: awsjson.TimeOf(created)}, nil
	})
	return h, done
}

func get(t *testing.T, c *sm.Client, id string) (*sm.GetSecretValueOutput, error) {
	return c.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: &id})
}

func TestSDKOverLoopback(t *testing.T) {
	h, _ := newHandler(t)
	server := httptest.NewServer(h)
	defer server.Close()
	c := sm.NewFromConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	})
	out, err := get(t, c, "a")
	if err != nil || *out.SecretString != "value" || !out.CreatedDate.Equal(created) {
		t.Fatalf("out = %+v, err = %v", out, err)
	}
	_, err = get(t, c, "missing")
	var notFound *types.ResourceNotFoundException
	if !errors.As(err, &notFound) || notFound.ErrorMessage() != "no missing" {
		t.Fatalf("err = %v", err)
	}
}

func TestErrorOfOperationIsServerError(t *testing.T) {
	h, _ := newHandler(t)
	_, err := get(t, sm.NewFromConfig(awstest.Config("eu-west-1", h)), "broken")
	var internal *types.InternalServiceError
	if !errors.As(err, &internal) {
		t.Fatalf("err = %v", err)
	}
}

// request returns a request that is good but for what edit does to it.
func request(edit func(*http.Request)) *http.Request {
	now := time.Now().UTC()
	r := httptest.NewRequest(http.MethodPost, "http://secretsmanager.test/", strings.NewReader(`{"SecretId":"a"}`))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	r.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/"+now.Format("20060102")+
		"/eu-west-1/secretsmanager/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="+strings.Repeat("0", 64))
	if edit != nil {
		edit(r)
	}
	return r
}

func body(s string) func(*http.Request) {
	return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(s)) }
}

func authorization(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), old, new))
	}
}

func TestProtocol(t *testing.T) {
	for name, test := range map[string]struct {
		edit   func(*http.Request)
		status int
		code   string // "" is success
	}{
		"good":                {nil, 200, ""},
		"null member":         {body(`{"SecretId":"a","Count":null}`), 200, ""},
		"known nested member": {body(`{"SecretId":"a","Nested":{"Known":[{"Name":"n"}]}}`), 200, ""},
		"charset":             {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-amz-json-1.1; charset=utf-8") }, 200, ""},

		"method":            {func(r *http.Request) { r.Method = http.MethodPut }, 404, "UnknownOperationException"},
		"path":              {func(r *http.Request) { r.URL.Path = "/x" }, 404, "UnknownOperationException"},
		"content type":      {func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 404, "UnknownOperationException"},
		"no target":         {func(r *http.Request) { r.Header.Del("X-Amz-Target") }, 400, "UnknownOperationException"},
		"target of another": {func(r *http.Request) { r.Header.Set("X-Amz-Target", "ecs.GetSecretValue") }, 400, "UnknownOperationException"},
		"unknown operation": {func(r *http.Request) { r.Header.Set("X-Amz-Target", "secretsmanager.Get") }, 400, "UnknownOperationException"},

		"no authorization":  {func(r *http.Request) { r.Header.Del("Authorization") }, 400, "MissingAuthenticationTokenException"},
		"other algorithm":   {authorization("AWS4-HMAC-SHA256", "Bearer"), 400, "IncompleteSignatureException"},
		"no credential":     {authorization("Credential=", "X="), 400, "IncompleteSignatureException"},
		"no signed headers": {authorization("SignedHeaders=", "X="), 400, "IncompleteSignatureException"},
		"short signature":   {authorization("0000", ""), 400, "IncompleteSignatureException"},
		"no date":           {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 400, "IncompleteSignatureException"},
		"other service":     {authorization("/secretsmanager/", "/ecs/"), 400, "InvalidSignatureException"},
		"other region":      {authorization("eu-west-1", "us-east-1"), 400, "InvalidSignatureException"},
		"no key":            {authorization("AKID", ""), 400, "InvalidSignatureException"},
		"host not signed":   {authorization(";host", ""), 400, "InvalidSignatureException"},
		"target not signed": {authorization(";x-amz-target", ""), 400, "InvalidSignatureException"},
		"old": {func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().UTC().Add(-6*time.Minute).Format("20060102T150405Z"))
		}, 400, "InvalidSignatureException"},

		"empty body":            {body(``), 400, "SerializationException"},
		"no JSON":               {body(`{"SecretId"`), 400, "SerializationException"},
		"array":                 {body(`[]`), 400, "SerializationException"},
		"trailing data":         {body(`{"SecretId":"a"} x`), 400, "SerializationException"},
		"mistyped member":       {body(`{"SecretId":1}`), 400, "SerializationException"},
		"mistyped nested":       {body(`{"SecretId":"a","Nested":{"Known":{}}}`), 400, "SerializationException"},
		"unknown member":        {body(`{"SecretId":"a","Secret":"b"}`), 400, "ValidationException"},
		"member of other case":  {body(`{"secretId":"a"}`), 400, "ValidationException"},
		"unknown nested member": {body(`{"SecretId":"a","Nested":{"Known":[{"name":"n"}]}}`), 400, "ValidationException"},
		"too large":             {body(`{"SecretId":"` + strings.Repeat("a", 1<<20) + `"}`), 413, "RequestEntityTooLargeException"},
		"unreadable": {func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), errorReader{}))
		}, 400, "SerializationException"},
	} {
		t.Run(name, func(t *testing.T) {
			h, done := newHandler(t)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(test.edit))
			if w.Code != test.status {
				t.Errorf("status %d, want %d; body %s", w.Code, test.status, w.Body)
			}
			if got := w.Header().Get("X-Amzn-ErrorType"); got != test.code {
				t.Errorf("code %q, want %q", got, test.code)
			}
			if test.code != "" && !strings.Contains(w.Body.String(), `"__type":"`+test.code+`"`) {
				t.Errorf("body %s", w.Body)
			}
			if w.Header().Get("X-Amzn-RequestId") == "" {
				t.Error("no request id")
			}
			if want := test.code == ""; want != (done.Load() == 1) {
				t.Errorf("done %d times", done.Load())
			}
			if calls := h.Calls(); len(calls) != 1 || calls[0].Code != test.code || calls[0].Status != test.status {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("reset") }

func TestCalls(t *testing.T) {
	h, _ := newHandler(t)
	var seen []awsjson.Call
	h.OnCall(func(c awsjson.Call) {
		if !slices.Contains(h.Calls(), c) { // takes the lock, too
			t.Error("a hook sees a call that is not recorded")
		}
		seen = append(seen, c)
	})
	c := sm.NewFromConfig(awstest.Config("eu-west-1", h))
	_, _ = get(t, c, "a")
	_, _ = get(t, c, "missing")
	calls := h.Calls()
	if !slices.Equal(calls, seen) || len(calls) != 2 {
		t.Fatalf("calls %+v, seen %+v", calls, seen)
	}
	if c := calls[0]; c.Service != "secretsmanager" || c.Operation != "GetSecretValue" || c.Resource != "a" || c.Status != 200 ||
		c.Code != "" || c.Time.IsZero() || c.RequestID == "" {
		t.Errorf("call %+v", c)
	}
	if c := calls[1]; c.Status != 400 || c.Code != "ResourceNotFoundException" {
		t.Errorf("call %+v", c)
	}
}

func TestResourceOfList(t *testing.T) {
	h, _ := newHandler(t)
	h.ServeHTTP(httptest.NewRecorder(), request(body(`{"List":["first","second"]}`)))
	if got := h.Calls()[0].Resource; got != "first" {
		t.Errorf("resource %q", got)
	}
}

func TestFaultKinds(t *testing.T) {
	for kind, test := range map[awsjson.Kind]struct {
		done   int32
		code   string // "" if the connection is closed, "-" if the call succeeds
		status int
	}{
		awsjson.NoFault:        {1, "-", 200},
		awsjson.DropBefore:     {0, "", 0},
		awsjson.DropAfter:      {1, "", 200},
		awsjson.Status5xx:      {0, "InternalServiceError", 500},
		awsjson.Status5xxAfter: {1, "InternalServiceError", 500},
		awsjson.Throttle:       {0, "ThrottlingException", 400},
		awsjson.AccessDenied:   {0, "AccessDeniedException", 400},
		awsjson.Slow:           {1, "-", 200},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			h, done := newHandler(t)
			order := make(chan int32, 2) // what the hooks saw: a closed connection orders nothing
			h.Inject(awsjson.Fault{
				Kind: kind, Delay: time.Millisecond,
				Before: func() { order <- done.Load() },
				After:  func() { order <- done.Load() },
			})
			server := httptest.NewServer(h)
			defer server.Close()
			c := sm.NewFromConfig(aws.Config{
				Region: "eu-west-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
				Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
			})
			_, err := get(t, c, "a")
			var api smithy.APIError
			switch {
			case test.code == "-":
				if err != nil {
					t.Error(err)
				}
			case test.code == "":
				if err == nil || errors.As(err, &api) {
					t.Errorf("err = %v, want a lost connection", err)
				}
			default:
				if !errors.As(err, &api) || api.ErrorCode() != test.code {
					t.Errorf("err = %v", err)
				}
			}
			if done.Load() != test.done {
				t.Errorf("done %d times, want %d", done.Load(), test.done)
			}
			if before, after := <-order, <-order; before != 0 || after != test.done {
				t.Errorf("hooks saw %d and %d", before, after)
			}
			if c := h.Calls()[0]; c.Fault != kind || c.Status != test.status {
				t.Errorf("call %+v", c)
			}
		})
	}
}

func TestFaultSelection(t *testing.T) {
	matchA := func(raw []byte) bool { return bytes.Contains(raw, []byte(`"a"`)) }
	for name, test := range map[string]struct {
		fault awsjson.Fault
		want  string // of six calls for a b a b a b: x is refused
	}{
		"every":           {awsjson.Fault{}, "xxxxxx"},
		"first two":       {awsjson.Fault{Times: 2}, "xx...."},
		"third":           {awsjson.Fault{Nth: 3}, "..x..."},
		"second to fifth": {awsjson.Fault{Nth: 2, Times: 4}, ".xxxx."},
		"matching":        {awsjson.Fault{Match: matchA}, "x.x.x."},
		"second matching": {awsjson.Fault{Match: matchA, Nth: 2}, "..x..."},
		"operation":       {awsjson.Fault{Operation: "GetSecretValue", Nth: 1}, "x....."},
		"other operation": {awsjson.Fault{Operation: "PutSecretValue"}, "......"},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := newHandler(t)
			test.fault.Kind = awsjson.AccessDenied
			h.Inject(test.fault)
			c, got := sm.NewFromConfig(awstest.Config("eu-west-1", h)), ""
			for _, id := range []string{"a", "b", "a", "b", "a", "b"} {
				if _, err := get(t, c, id); err != nil {
					got += "x"
				} else {
					got += "."
				}
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestFirstInjectedFaultWinsUntilRemoved(t *testing.T) {
	h, _ := newHandler(t)
	remove := h.Inject(awsjson.Fault{Kind: awsjson.AccessDenied})
	h.Inject(awsjson.Fault{Kind: awsjson.Status5xx, Nth: 2})
	c := sm.NewFromConfig(awstest.Config("eu-west-1", h))
	_, err := get(t, c, "a")
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "AccessDeniedException" {
		t.Fatalf("err = %v", err)
	}
	remove()
	if _, err = get(t, c, "a"); !errors.As(err, &api) || api.ErrorCode() != "InternalServiceError" {
		t.Fatalf("err = %v", err)
	}
	if _, err = get(t, c, "a"); err != nil {
		t.Fatal(err)
	}
}

func TestSlowCallIsCarriedOutAfterItsCallerGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, done := newHandler(t)
		h.Inject(awsjson.Fault{Kind: awsjson.Slow, Delay: time.Minute})
		config := awstest.Config("eu-west-1", h)
		config.HTTPClient = &http.Client{Transport: &timeoutTransport{wire.Transport(h), time.Second}}
		c := sm.NewFromConfig(config)
		begin := time.Now()
		if _, err := get(t, c, "a"); err == nil {
			t.Fatal("no error")
		}
		if d := time.Since(begin); d != time.Second || done.Load() != 0 {
			t.Fatalf("gave up after %s, done %d times", d, done.Load())
		}
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		if done.Load() != 1 {
			t.Fatalf("done %d times", done.Load())
		}
	})
}

type timeoutTransport struct {
	next    http.RoundTripper
	timeout time.Duration
}

func (t *timeoutTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return (&http.Client{Transport: t.next, Timeout: t.timeout}).Do(r)
}

func TestCloseEndsSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, done := newHandler(t)
		h.Inject(awsjson.Fault{Kind: awsjson.Slow, Delay: time.Hour})
		go func() { _, _ = get(t, sm.NewFromConfig(awstest.Config("eu-west-1", h)), "a") }()
		synctest.Wait()
		begin := time.Now()
		h.Close()
		synctest.Wait()
		if done.Load() != 1 || time.Since(begin) != 0 {
			t.Fatalf("done %d times after %s", done.Load(), time.Since(begin))
		}
		if _, err := get(t, sm.NewFromConfig(awstest.Config("eu-west-1", h)), "a"); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("after Close: %v", err)
		}
	})
}
