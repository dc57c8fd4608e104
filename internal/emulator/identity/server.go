// Package identity emulates the endpoint from which a function in Azure's App Service gets the tokens of its managed identity.
//
//	server := identity.New(identity.Options{Header: "secret", Tokens: map[string]string{"https://management.azure.com": "token"}})
//	// IDENTITY_ENDPOINT=http://127.0.0.1:PORT/msi/token IDENTITY_HEADER=secret
//
// It is strict: the header that the platform gives to the process, the version of the protocol, and a resource for which
// the identity can have a token. Only the system-assigned identity is there: a request that names another is refused.
package identity

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Path is where the endpoint is.
const Path = "/msi/token"

// apiVersion is that of App Service.
const apiVersion = "2019-08-01"

// Options are the settings of a Server.
type Options struct {
	Header   string            // value of X-IDENTITY-HEADER
	Tokens   map[string]string // by resource, without a slash at its end: https://management.azure.com, https://storage.azure.com
	Lifetime time.Duration     // of a token; 0: 24 hours
}

// Server implements http.Handler. Its calls are recorded as "token".
type Server struct {
	wire.Traffic
	options Options
}

// New is an endpoint.
func New(options Options) *Server {
	if options.Lifetime == 0 {
		options.Lifetime = 24 * time.Hour
	}
	return &Server{options: options}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 1<<10))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call := wire.Call{Time: time.Now(), Service: "identity", Operation: "token", Resource: request.URL.Query().Get("resource"),
		RequestID: wire.NewID()}
	s.Serve(writer, call, body, refusal, func() wire.Answer { return s.serve(request) })
}

// refusal is the error of a fault.
func refusal(fault wire.Fault) wire.Answer {
	switch fault.Kind {
	case wire.BadRequest:
		return failure(http.StatusBadRequest,
			"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	case wire.AccessDenied:
		return failure(http.StatusForbidden, "Forbidden")
	case wire.Throttle:
		answer := failure(http.StatusTooManyRequests, "Too many requests")
		answer.Header.Set("Retry-After", strconv.Itoa(int(fault.RetryAfter.Seconds())))
		return answer
	}
	return failure(http.StatusInternalServerError, "An error has occurred.")
}

func (s *Server) serve(request *http.Request) wire.Answer {
	query := request.URL.Query()
	resource := strings.TrimSuffix(query.Get("resource"), "/")
	token, known := s.options.Tokens[resource]
	switch {
	case request.URL.Path != Path:
		return failure(http.StatusNotFound, "Not found")
	case request.Method != http.MethodGet:
		return failure(http.StatusMethodNotAllowed, "Method not allowed")
	case request.Header.Get("X-IDENTITY-HEADER") != s.options.Header:
		return failure(http.StatusUnauthorized, "The identity header is missing or wrong.")
	case query.Get("api-version") != apiVersion:
		return failure(http.StatusBadRequest, "The api-version is missing or not supported.")
	case query.Has("client_id") || query.Has("principal_id") || query.Has("mi_res_id"):
		return failure(http.StatusBadRequest,
			"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	case !known:
		return failure(http.StatusBadRequest, "The resource is missing or unknown.")
	}
	return answer(http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "resource": resource, "client_id": "00000000-0000-0000-0000-00000000000c",
		"expires_on": strconv.FormatInt(time.Now().Add(s.options.Lifetime).Unix(), 10),
	})
}

func failure(status int, message string) wire.Answer {
	made := answer(status, map[string]any{"statusCode": status, "message": message, "correlationId": wire.NewID()})
	made.Code = http.StatusText(status)
	return made
}

func answer(status int, document any) wire.Answer {
	body, err := json.Marshal(document)
	if err != nil {
		panic(fmt.Sprintf("identity: %v", err))
	}
	return wire.Answer{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body}
}
