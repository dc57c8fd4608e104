package rotation

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// FuzzInvocation: an invocation is a timer's, of which only short values are kept, or else a Configuration error that repeats
// nothing of it.
func FuzzInvocation(f *testing.F) {
	for _, sample := range []string{
		good, `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":{"Last":"2023-09-07T11:30:00.0089+00:00",` +
			`"Next":"2023-09-07T12:00:00Z","LastUpdated":"2023-09-07T11:30:00Z"},"IsPastDue":false}},` +
			`"Metadata":{"sys":{"MethodName":"RotateRunnerSecrets"},"RetryContext":{"RetryCount":1,"MaxRetryCount":2}}}`,
		`{"Data":{"timer":"{\"ScheduleStatus\":null,\"IsPastDue\":true}"}}`, `{"Data":{"timer":"\"{}\""}}`, `{"Data":{"timer":null,"TIMER":{}}}`,
		`{"data":{"Timer":{"IsPastDue":[7],"ScheduleStatus":{"Last":{"` + apiSecret + `":1}}}}}`,
		`{"Data":{"timer":"` + apiSecret + `"}}`, `{"Data":{"timer":["` + apiSecret + `"]}}`, `{"Data":"` + apiSecret +
			`"}`, apiSecret, ``, `null`, `{"Data":{"timer":{}},"Metadata":{"RetryContext":{"RetryCount":1e99}}}`,
		`{"Data":{"timer":{"ScheduleStatus":{"Last":"` + strings.Repeat("é", 100) + `"}}}}`,
	} {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		invoked, err := parseInvocation(body)
		if err != nil {
			functiontest.WantConfiguration(t, err, "the invocation", apiSecret)
			return
		}
		if !json.Valid(body) {
			t.Errorf("what is not JSON is taken for an invocation")
		}
		if status := invoked.timer.ScheduleStatus; status != nil && max(len(status.Last), len(status.Next), len(status.LastUpdated)) > 203 {
			t.Errorf("kept is %+v", status)
		}
		again, err := json.Marshal(map[string]any{"Data": map[string]any{"timer": invoked.timer}})
		if err != nil {
			t.Fatal(err)
		}
		if same, err := parseInvocation(again); err != nil || same.timer.IsPastDue != invoked.timer.IsPastDue ||
			(same.timer.ScheduleStatus == nil) != (invoked.timer.ScheduleStatus == nil) {
			t.Errorf("%+v became %+v: %v", invoked, same, err)
		}
	})
}

// FuzzRequest: the function answers every request in the host's form. Each line of its log is JSON and short, and holds nothing of the
// body.
func FuzzRequest(f *testing.F) {
	f.Add(http.MethodPost, "/"+FunctionName, "8f7a1e6e-0000-4000-8000-000000000000", "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01",
		[]byte(good))
	f.Add(http.MethodPost, "/"+FunctionName, "\xff\n", "a-b\"-c-d",
		[]byte(`{"Data":{"timer":{"ScheduleStatus":{"Last":"x"}}},"x":"`+apiSecret+`"}`))
	f.Add(http.MethodGet, "/", "", "", []byte(nil))
	f.Add(http.MethodDelete, "/"+FunctionName+"/", strings.Repeat("x", 1000), "---", []byte(apiSecret))
	f.Add("É", "//\u2028?x", "", "", []byte("{}"))
	f.Fuzz(func(t *testing.T, method, path, invocation, trace string, body []byte) {
		if !strings.HasPrefix(path, "/") || method == "" || strings.Contains(method+path+invocation+trace, apiSecret) ||
			bytes.Contains(body, []byte("MAIA_CLIENT")) {
			return
		}
		var log bytes.Buffer
		h := New([]string{"MAIA_CONTAINER_APPS=x"}, &log) // what is well formed is refused for its configuration
		request := &http.Request{
			Method: method, URL: &url.URL{Path: path}, Header: http.Header{"X-Azure-Functions-Invocationid": {invocation},
				"Traceparent": {trace}}, Body: io.NopCloser(bytes.NewReader(body)),
		}
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, request.WithContext(t.Context()))
		var answered struct {
			Outputs     *struct{}
			Logs        []string
			ReturnValue *string
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &answered); err != nil || answered.Outputs == nil || answered.Logs == nil {
			t.Fatalf("the answer is %q: %v", recorder.Body, err)
		}
		if ready := path == "/"; ready != (recorder.Code == http.StatusOK) || ready != (log.Len() == 0) {
			t.Errorf("%s is answered with %d", path, recorder.Code)
		}
		for _, line := range functiontest.Lines(t, log.Bytes()) {
			if text, _ := json.Marshal(line); len(text) > 3000 || bytes.Contains(text, []byte(apiSecret)) {
				t.Errorf("%d bytes of log: %.100s", len(text), text)
			}
		}
	})
}

// FuzzResourceID: what the configuration accepts as the ID of an app or a group is one for Azure's own library, too, and adds nothing else
// to the path of a request.
func FuzzResourceID(f *testing.F) {
	for _, sample := range []string{
		appID, groupID, strings.ToUpper(appID), groupID + "-é.(x)/providers/microsoft.app/containerapps/a", groupID +
			"/../x/providers/Microsoft.App/containerApps/a", groupID + "/", groupID + ".",
		"/subscriptions/x/resourceGroups/a/providers/Microsoft.App/containerApps/a/providers/Microsoft.App/containerApps/b", groupID +
			"/providers/Microsoft.ContainerInstance/containerGroups/x", groupID + "\n", "",
		"/subscriptions/x/resourceGroups/ⅷK/providers/Microsoft.App/containerApps/ſ",
	} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, text string) {
		app, group := isApp(text), isGroup(text)
		if app && group {
			t.Errorf("%q is an app and a group", text)
		}
		if app || group {
			id, err := arm.ParseResourceID(text)
			want := map[bool]string{true: "Microsoft.App/containerApps", false: "Microsoft.Resources/resourceGroups"}[app]
			if err != nil || !strings.EqualFold(id.ResourceType.String(), want) || id.SubscriptionID == "" || id.ResourceGroupName == "" {
				t.Fatalf("%q is none to Azure's library: %v, %v", text, id, err)
			}
			if app != (id.Name != id.ResourceGroupName || strings.Contains(strings.ToLower(text), "/containerapps/")) {
				t.Errorf("%q is %+v", text, id)
			}
			for _, part := range []string{id.SubscriptionID, id.ResourceGroupName, id.Name} {
				if part == "." || part == ".." || strings.ContainsAny(part, "/\\?#%\x00\r\n ") {
					t.Errorf("%q has the part %q", text, part)
				}
			}
		}
		config, err := ParseConfig(with(map[string]string{"MAIA_CONTAINER_APPS": text}))
		if err != nil {
			functiontest.WantConfiguration(t, err, "MAIA_", apiSecret)
			return
		}
		for _, one := range config.Apps {
			if !isApp(one) {
				t.Errorf("%q has the app %q", text, one)
			}
		}
	})
}

// FuzzStateURL: the locks and notes are written to the host that the configuration names, over TLS or within the machine.
func FuzzStateURL(f *testing.F) {
	for _, sample := range []string{
		"https://state.blob.core.windows.net/notes/", "http://127.0.0.1:10000/devstoreaccount1/notes", "https://user:" + apiSecret +
			"@host/notes", "https://host/notes?sig=" + apiSecret, "https://host/a/../notes",
		"http://localhost.evil.test/notes", "https://host/a%2fb/notes", "https://host/notes#" +
			apiSecret, "host/notes", "https:///notes", "https://host:" + apiSecret + "/notes",
	} {
		f.Add(sample, "")
	}
	f.Add("", "hoststorage")
	f.Add("", "host.evil.test/")
	f.Fuzz(func(t *testing.T, text, account string) {
		config, err := ParseConfig(with(map[string]string{"MAIA_STATE_CONTAINER_URL": text, "AzureWebJobsStorage__accountName": account}))
		if err != nil {
			if !strings.Contains(account, apiSecret) && !strings.Contains(hostOf(text), apiSecret) && !strings.Contains(pathOf(text), apiSecret) {
				functiontest.WantConfiguration(t, err, "", apiSecret)
			}
			return
		}
		u, err := url.Parse(config.StateContainerURL)
		if err != nil || u.Scheme != "https" && !maia.Loopback(u.Hostname()) || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			strings.HasSuffix(u.Path, "/") || u.Path == "" {
			t.Fatalf("the container is at %q: %v", config.StateContainerURL, err)
		}
		if trimmed := strings.TrimSpace(text); trimmed != "" && hostOf(trimmed) != u.Host ||
			trimmed == "" && !strings.HasPrefix(u.Host, strings.TrimSpace(account)+".blob.") {
			t.Errorf("%q and %q became the host %q", text, account, u.Host)
		}
	})
}

func hostOf(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Host
	}
	return ""
}

func pathOf(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Path
	}
	return ""
}
