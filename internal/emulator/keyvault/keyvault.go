// Package keyvault emulates a vault of Azure Key Vault over HTTP, as far as secrets are read from it.
//
//	server := keyvault.New("token", map[string]string{"name": "value"})
//	// GET /secrets/name?api-version=7.4
//
// It is strict: a bearer token, a version of the API, and a name that is there. Each secret has one version, "1".
package keyvault

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/resourcemanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

const getSecret = "Microsoft.KeyVault/vaults/secrets/getSecret/action"

// Server implements http.Handler. Its calls are recorded as "get".
type Server struct {
	wire.Traffic
	token   string
	secrets map[string]string
}

// New is a vault with secrets, by name.
func New(token string, secrets map[string]string) *Server {
	return &Server{token: token, secrets: secrets}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 1<<10))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call := wire.Call{Time: time.Now(), Service: "key vault", Operation: "get", Action: getSecret, Resource: request.URL.Path,
		RequestID: wire.NewID()}
	if request.Method != http.MethodGet {
		call.Operation, call.Action = request.Method, ""
	}
	refusal := func(fault wire.Fault) wire.Answer {
		if fault.Kind == wire.AccessDenied {
			return problem(http.StatusForbidden, "Forbidden", "Caller is not authorized to perform action on resource.")
		}
		return resourcemanager.Refusal(fault, getSecret, request.URL.Path)
	}
	s.Serve(writer, call, body, refusal, func() wire.Answer { return s.serve(request) })
}

func (s *Server) serve(request *http.Request) wire.Answer {
	path := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	switch {
	case request.Header.Get("Authorization") != "Bearer "+s.token:
		answer := problem(http.StatusUnauthorized, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
		answer.Header.Set("Www-Authenticate",
			`Bearer authorization="https://login.microsoftonline.example/tenant", resource="https://vault.azure.net"`)
		return answer
	case request.URL.Query().Get("api-version") != "7.4":
		return problem(http.StatusBadRequest, "BadParameter", "The api-version is missing, or not emulated.")
	case request.Method != http.MethodGet || len(path) < 2 || len(path) > 3 || path[0] != "secrets":
		return problem(http.StatusMethodNotAllowed, "MethodNotAllowed", "Not emulated.")
	}
	value, found := s.secrets[path[1]]
	if !found || len(path) == 3 && path[2] != "1" {
		return problem(http.StatusNotFound, "SecretNotFound", "A secret with (name/id) "+path[1]+" was not found in this key vault.")
	}
	return resourcemanager.JSON(http.StatusOK, map[string]any{
		"value": value, "id": "https://" + request.Host + "/secrets/" + path[1] + "/1", "attributes": map[string]any{"enabled": true},
	})
}

func problem(status int, code, message string) wire.Answer {
	return resourcemanager.New(status, code, message).Answer()
}
