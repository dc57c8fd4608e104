package appservice_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/emulator/appservice"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

const (
	group   = "/subscriptions/s/resourceGroups/g"
	site    = group + "/providers/Microsoft.Web/sites/app"
	account = group + "/providers/Microsoft.Storage/storageAccounts/x"
	role    = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/r"
)

func server() *appservice.Server {
	return &appservice.Server{
		Token: "token", Accounts: []string{account},
		Sites: []*appservice.Site{{
			ID: site, Kind: "functionapp,linux", Properties: map[string]any{"state": "Running"}, Settings: map[string]string{"NAME": "the-value"},
			References: map[string]appservice.Reference{"NAME": {Status: "Resolved"}},
			Functions:  map[string]map[string]any{"F": {"isDisabled": true}},
		}},
		Roles: []appservice.Role{{ID: role, Name: "reader", Permissions: []appservice.Permission{{Actions: []string{"*/read"}}}}},
		Assignments: []appservice.Assignment{
			{Principal: "p", Role: role, Scope: "/subscriptions/s"}, {Principal: "q", Role: role, Scope: site},
			{Principal: "p", Role: role, Scope: site + "/slots/x"},
			{Principal: "p", Role: role, Scope: group + "2"},
			{Principal: "p", Role: role, Scope: "/providers/Microsoft.Management/managementGroups/m"}, {Principal: "p", Role: role, Scope: site},
		},
		Permissions: map[string][]appservice.Permission{site: {{Actions: []string{"a"}}, {Actions: []string{"b"}}, {Actions: []string{"c"}}}},
		Next:        http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) { writer.WriteHeader(http.StatusTeapot) }),
	}
}

func TestServer(t *testing.T) {
	const version = "?api-version=2024-04-01"
	for title, test := range map[string]struct {
		request string // method and path
		token   string // instead of the right one
		status  int
		words   string // of the body
		action  string // that is recorded
	}{
		"the app":             {"GET " + site + version, "", 200, `"kind":"functionapp,linux"`, "Microsoft.Web/sites/read"},
		"in another case":     {"GET " + strings.ToUpper(site) + version, "", 200, `"state":"Running"`, "Microsoft.Web/sites/read"},
		"no settings with it": {"GET " + site + version, "", 200, `"properties":{"state":"Running"}`, "Microsoft.Web/sites/read"},
		"another app":         {"GET " + site + "2" + version, "", 404, `"code":"ResourceNotFound"`, "Microsoft.Web/sites/read"},
		"settings": {"POST " + site + "/config/appsettings/list" + version, "", 200, `"NAME":"the-value"`,
			"Microsoft.Web/sites/config/list/action"},
		"settings by GET":   {"GET " + site + "/config/appsettings/list" + version, "", 405, `"code":"MethodNotAllowed"`, ""},
		"settings unlisted": {"GET " + site + "/config/appsettings" + version, "", 405, `"code":"MethodNotAllowed"`, ""},
		"references": {"GET " + site + "/config/configreferences/appsettings" + version, "", 200, `"status":"Resolved"`,
			"Microsoft.Web/sites/config/read"},
		"a function":  {"GET " + site + "/functions/f" + version, "", 200, `"isDisabled":true`, "Microsoft.Web/sites/functions/read"},
		"no function": {"GET " + site + "/functions/x" + version, "", 404, `"code":"NotFound"`, "Microsoft.Web/sites/functions/read"},
		"an account":  {"GET " + account + version, "", 200, `"name":"x"`, "Microsoft.Storage/storageAccounts/read"},
		"no account": {"GET " + account + "y" + version, "", 404, `"code":"ResourceNotFound"`,
			"Microsoft.Storage/storageAccounts/read"},
		"a role": {"GET " + role + version, "", 200, `"actions":["*/read"]`, "Microsoft.Authorization/roleDefinitions/read"},
		"no role": {"GET " + role + "2" + version, "", 404, `"code":"RoleDefinitionDoesNotExist"`,
			"Microsoft.Authorization/roleDefinitions/read"},
		"all assignments": {"GET " + site + "/providers/Microsoft.Authorization/roleAssignments" + version, "", 400,
			`"code":"UnsupportedQuery"`, "Microsoft.Authorization/roleAssignments/read"},
		"a delete":        {"DELETE " + site + version, "", 405, `"code":"MethodNotAllowed"`, ""},
		"no version":      {"GET " + site, "", 400, `"code":"MissingApiVersionParameter"`, "Microsoft.Web/sites/read"},
		"another version": {"GET " + site + "?api-version=1", "", 400, `"code":"InvalidApiVersionParameter"`, "Microsoft.Web/sites/read"},
		"another token":   {"GET " + site + version, "x", 401, `"code":"AuthenticationFailed"`, "Microsoft.Web/sites/read"},
		"settings, no token": {"POST " + site + "/config/appsettings/list" + version, "x", 401, `"code":"AuthenticationFailed"`,
			"Microsoft.Web/sites/config/list/action"},
		"another provider's": {"GET " + group + "/providers/Microsoft.App/containerApps/x" + version, "x", 418, "", "none"},
		"who may do there": {"GET " + group + "/providers/Microsoft.App/containerApps/x/providers/Microsoft.Authorization/permissions" +
			version, "", 200, `{"value":[]}`, "Microsoft.Authorization/permissions/read"},
		"a page that is not": {"GET " + site + "/providers/Microsoft.Authorization/permissions" + version + "&$skipToken=9", "", 400,
			`"code":"InvalidSkipToken"`, "Microsoft.Authorization/permissions/read"},
		"assigned to another": {"GET " + site + "/providers/Microsoft.Authorization/roleAssignments" + version + "&$filter=assignedTo('q')", "",
			200, `"scope":"` + site + `"`, "Microsoft.Authorization/roleAssignments/read"},
	} {
		t.Run(title, func(t *testing.T) {
			emulator := server()
			method, path, _ := strings.Cut(test.request, " ")
			request := httptest.NewRequest(method, path, nil)
			token := test.token
			if token == "" {
				token = "token"
			}
			request.Header.Set("Authorization", "Bearer "+token)
			writer := httptest.NewRecorder()
			emulator.ServeHTTP(writer, request)
			if writer.Code != test.status || !strings.Contains(writer.Body.String(), test.words) {
				t.Errorf("got %d %s, want %d %s", writer.Code, writer.Body, test.status, test.words)
			}
			if test.status == 401 && (writer.Header().Get("Www-Authenticate") == "" || strings.Contains(writer.Body.String(), "the-value")) {
				t.Errorf("refused with %v %s", writer.Header(), writer.Body)
			}
			action := "none"
			for _, call := range emulator.Calls() {
				action = call.Action
			}
			if action != test.action {
				t.Errorf("recorded %q, want %q", action, test.action)
			}
		})
	}
}

// TestPages follows the links of lists, over HTTP.
func TestPages(t *testing.T) {
	server := httptest.NewServer(server())
	defer server.Close()
	for address, want := range map[string]int{
		"/providers/Microsoft.Authorization/permissions?api-version=2022-04-01":                                 3,
		"/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=assignedTo(%27p%27)": 4, // at, above and below
		"/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=assignedTo(%27z%27)": 0,
	} {
		got := 0
		for next := server.URL + site + address; next != ""; {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, next, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer token")
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			var page struct {
				Value    []any
				NextLink string
			}
			if err != nil || json.Unmarshal(body, &page) != nil || answer.StatusCode != http.StatusOK || len(page.Value) > 2 {
				t.Fatalf("%s: %d %s, %v", next, answer.StatusCode, body, err)
			}
			got, next = got+len(page.Value), page.NextLink
		}
		if got != want {
			t.Errorf("%s: %d, want %d", address, got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	for kind, want := range map[wire.Kind]string{
		wire.AccessDenied: "403 AuthorizationFailed", wire.Conflict: "409 Conflict", wire.BadRequest: "400 InvalidRequestContent",
		wire.Throttle: "429 TooManyRequests", wire.Status5xx: "500 InternalServerError",
	} {
		emulator := server()
		emulator.Inject(wire.Fault{Operation: "Microsoft.Web/sites/read", Kind: kind})
		request := httptest.NewRequest(http.MethodGet, site+"?api-version=2024-04-01", nil)
		request.Header.Set("Authorization", "Bearer token")
		writer := httptest.NewRecorder()
		emulator.ServeHTTP(writer, request)
		var body struct {
			Error struct{ Code, Message string }
		}
		err := json.Unmarshal(writer.Body.Bytes(), &body)
		if got := fmt.Sprint(writer.Code, " ", body.Error.Code); err != nil || got != want || body.Error.Message == "" {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
