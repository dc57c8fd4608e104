package keyvault_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/emulator/keyvault"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

func TestServer(t *testing.T) {
	for title, test := range map[string]struct {
		request, token string
		status         int
		words          string
	}{
		"a secret":        {"GET /secrets/name?api-version=7.4", "token", 200, `"value":"the-value"`},
		"its version":     {"GET /secrets/name/1?api-version=7.4", "token", 200, `"value":"the-value"`},
		"another version": {"GET /secrets/name/2?api-version=7.4", "token", 404, `"code":"SecretNotFound"`},
		"no secret":       {"GET /secrets/other?api-version=7.4", "token", 404, `"code":"SecretNotFound"`},
		"no version":      {"GET /secrets/name", "token", 400, `"code":"BadParameter"`},
		"another token":   {"GET /secrets/name?api-version=7.4", "x", 401, `"code":"Unauthorized"`},
		"a key":           {"GET /keys/name?api-version=7.4", "token", 405, `"code":"MethodNotAllowed"`},
		"a change":        {"PUT /secrets/name?api-version=7.4", "token", 405, `"code":"MethodNotAllowed"`},
	} {
		t.Run(title, func(t *testing.T) {
			method, path, _ := strings.Cut(test.request, " ")
			request := httptest.NewRequest(method, path, nil)
			request.Header.Set("Authorization", "Bearer "+test.token)
			writer := httptest.NewRecorder()
			keyvault.New("token", map[string]string{"name": "the-value"}).ServeHTTP(writer, request)
			if writer.Code != test.status || !strings.Contains(writer.Body.String(), test.words) || test.status != 200 &&
				strings.Contains(writer.Body.String(), "the-value") {
				t.Errorf("got %d %s, want %d %s", writer.Code, writer.Body, test.status, test.words)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	server := keyvault.New("token", map[string]string{"name": "the-value"})
	server.Inject(wire.Fault{Kind: wire.AccessDenied})
	request := httptest.NewRequest("GET", "/secrets/name?api-version=7.4", nil)
	request.Header.Set("Authorization", "Bearer token")
	writer := httptest.NewRecorder()
	server.ServeHTTP(writer, request)
	if calls := server.Calls(); writer.Code != 403 || len(calls) != 1 || calls[0].Code != "Forbidden" ||
		calls[0].Action != "Microsoft.KeyVault/vaults/secrets/getSecret/action" {
		t.Errorf("got %d, recorded %+v", writer.Code, calls)
	}
}
