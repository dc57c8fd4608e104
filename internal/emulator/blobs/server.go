package blobs

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// The operations, by which calls are recorded.
const (
	opCreateContainer = "create container"
	opPut             = "put"
	opGet             = "get"
	opAcquire         = "acquire"
	opRenew           = "renew"
	opRelease         = "release"
)

const actions = "Microsoft.Storage/storageAccounts/blobServices/containers/"

// actionOf is the action that an operation needs.
func actionOf(operation string) string {
	switch operation {
	case opCreateContainer:
		return actions + "write"
	case opGet:
		return actions + "blobs/read"
	case opPut, opAcquire, opRenew, opRelease:
		return actions + "blobs/write"
	}
	return ""
}

// Server implements http.Handler: one storage account. Its calls are recorded by operations ("create container", "put",
// "get", "acquire", "renew", "release") with the action that each needs.
type Server struct {
	wire.Traffic
	token string

	mu         sync.Mutex
	etags      int
	containers map[string]map[string]*blob
	played     map[string]bool // quirks, by name
	calls      int             // so far
}

type blob struct {
	data     []byte
	media    string
	etag     string
	modified time.Time
	lease    lease
	occupied bool // its lease was asked for
}

// New is an account without containers.
func New(token string) *Server {
	return &Server{token: token, containers: map[string]map[string]*blob{}, played: map[string]bool{}}
}

// Blobs are the contents of a container, by name.
func (s *Server) Blobs(container string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for name, b := range s.containers[container] {
		all[name] = string(b.data)
	}
	return all
}

// Put writes a blob as another writer does, whether it is leased or not, and makes the container if there is none.
func (s *Server) Put(container, name, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.containers[container] == nil {
		s.containers[container] = map[string]*blob{}
	}
	b := s.containers[container][name]
	if b == nil {
		b = &blob{}
		s.containers[container][name] = b
	}
	s.write(b, []byte(content), "application/json")
}

// Delete deletes a container with its blobs, as an operator does.
func (s *Server) Delete(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, container)
}

// Remove deletes a blob as an operator does, whether it is leased or not.
func (s *Server) Remove(container, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers[container], name)
}

// Lease leases a blob that is not leased, as another writer does; for good, if the duration is 0.
func (s *Server) Lease(container, name string, duration time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[container][name].lease = newLease(wire.NewID(), duration)
}

// Break breaks the lease of a blob at once, as an operator does.
func (s *Server) Break(container, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.containers[container][name]; b != nil && b.lease.id != "" {
		b.lease.broken = true
	}
}

func (s *Server) write(b *blob, data []byte, media string) {
	s.etags++
	b.data, b.media, b.etag, b.modified = data, media, fmt.Sprintf(`"0x8D%013X"`, s.etags), time.Now()
	if !b.lease.active() {
		b.lease = lease{}
	}
}

// failure is an error of the service.
type failure struct {
	status int
	code   string
}

func (f *failure) answer() wire.Answer {
	return wire.Answer{
		Status: f.status, Code: f.code,
		Header: http.Header{"Content-Type": {"application/xml"}, "X-Ms-Error-Code": {f.code}},
		Body: fmt.Appendf(nil, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%[1]s</Message></Error>",
			f.code),
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	operation := operationOf(request)
	call := wire.Call{
		Time: time.Now(), Service: "blob", Operation: operation, Action: actionOf(operation), Resource: request.URL.Path, RequestID: wire.NewID(),
	}
	if operation == "" {
		call.Operation = request.Method
	}
	writer.Header().Set("X-Ms-Request-Id", call.RequestID)
	writer.Header().Set("X-Ms-Version", request.Header.Get("x-ms-version"))
	if request.Header.Get("Authorization") != "Bearer "+s.token {
		writer.Header().Set("Www-Authenticate",
			"Bearer authorization_uri=https://login.microsoftonline.example/tenant/oauth2/authorize resource_id=https://storage.azure.com")
		refused := failure{http.StatusUnauthorized, "InvalidAuthenticationInfo"}
		s.Serve(writer, call, body, func(wire.Fault) wire.Answer { return refused.answer() }, refused.answer)
		return
	}
	s.Serve(writer, call, body, refusal, func() wire.Answer {
		answer, slow, lost := s.answer(operation, request, body)
		if slow > 0 {
			s.Wait(slow)
		}
		if lost {
			panic(http.ErrAbortHandler)
		}
		return answer
	})
}

// answer is that to a request, how long it takes, and whether it is lost.
func (s *Server) answer(operation string, request *http.Request, body []byte) (answer wire.Answer, slow time.Duration, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.busy(); refused != nil {
		return refused.answer(), 0, false
	}
	out := http.Header{}
	status, text, failed := s.serve(operation, request, body, out)
	if failed != nil {
		return failed.answer(), 0, false
	}
	slow, lost = s.late()
	return wire.Answer{Status: status, Header: out, Body: text}, slow, lost
}

// refusal is the error of a fault.
func refusal(fault wire.Fault) wire.Answer {
	switch fault.Kind {
	case wire.AccessDenied:
		return (&failure{http.StatusForbidden, "AuthorizationPermissionMismatch"}).answer()
	case wire.Conflict:
		return (&failure{http.StatusConflict, "LeaseAlreadyPresent"}).answer()
	case wire.BadRequest:
		return (&failure{http.StatusBadRequest, "InvalidInput"}).answer()
	case wire.Throttle:
		answer := (&failure{http.StatusServiceUnavailable, "ServerBusy"}).answer()
		answer.Header.Set("Retry-After", strconv.Itoa(int(fault.RetryAfter.Seconds())))
		return answer
	}
	return (&failure{http.StatusInternalServerError, "InternalError"}).answer()
}

// operationOf is what a request asks for; empty if it is not emulated.
func operationOf(request *http.Request) string {
	_, name, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
	query := request.URL.Query()
	put := request.Method == http.MethodPut
	switch comp, kind := query.Get("comp"), query.Get("restype"); {
	case put && kind == "container" && comp == "" && name == "":
		return opCreateContainer
	case name == "" || kind != "":
		return ""
	case put && comp == "":
		return opPut
	case comp == "" && (request.Method == http.MethodGet || request.Method == http.MethodHead):
		return opGet
	case put && comp == "lease":
		switch action := request.Header.Get("x-ms-lease-action"); action {
		case opAcquire, opRenew, opRelease:
			return action
		}
	}
	return ""
}

var (
	version       = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	containerName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
)

// oldest is the version since when the service takes bearer tokens.
const oldest = "2017-11-09"

func (s *Server) serve(operation string, request *http.Request, body []byte, out http.Header) (status int, answer []byte, failed *failure) {
	switch asked := request.Header.Get("x-ms-version"); {
	case asked == "":
		return 0, nil, &failure{http.StatusBadRequest, "MissingRequiredHeader"}
	case !version.MatchString(asked) || asked < oldest:
		return 0, nil, &failure{http.StatusBadRequest, "InvalidHeaderValue"}
	case operation == "":
		return 0, nil, &failure{http.StatusMethodNotAllowed, "UnsupportedHttpVerb"}
	}
	container, name, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
	blobs, exists := s.containers[container]
	switch {
	case !containerName.MatchString(container):
		return 0, nil, &failure{http.StatusBadRequest, "InvalidResourceName"}
	case operation == opCreateContainer && exists:
		return 0, nil, &failure{http.StatusConflict, "ContainerAlreadyExists"}
	case operation == opCreateContainer:
		s.containers[container] = map[string]*blob{}
		return http.StatusCreated, nil, nil
	case !exists:
		return 0, nil, &failure{http.StatusNotFound, "ContainerNotFound"}
	}
	b := blobs[name]
	switch {
	case operation == opPut:
		return s.put(blobs, name, body, request.Header, out)
	case b == nil:
		return 0, nil, &failure{http.StatusNotFound, "BlobNotFound"}
	case operation == opGet:
		return get(b, request.Header, out)
	}
	if failed := conditions(b, request.Header); failed != nil {
		return 0, nil, failed
	}
	describe(b, out)
	switch operation {
	case opAcquire:
		s.occupy(b)
		status, failed = b.acquire(request.Header, out)
	case opRenew:
		status, failed = b.renew(request.Header.Get("x-ms-lease-id"), out)
	case opRelease:
		status, failed = b.release(request.Header.Get("x-ms-lease-id"))
	}
	return status, nil, failed
}

func (s *Server) put(blobs map[string]*blob, name string, body []byte, in, out http.Header) (int, []byte, *failure) {
	if in.Get("x-ms-blob-type") != "BlockBlob" {
		return 0, nil, &failure{http.StatusBadRequest, "InvalidHeaderValue"}
	}
	b := blobs[name]
	if b != nil && in.Get("If-None-Match") == "*" {
		return 0, nil, &failure{http.StatusConflict, "BlobAlreadyExists"}
	}
	if failed := conditions(b, in); failed != nil {
		return 0, nil, failed
	}
	if failed := checkLease(b, in.Get("x-ms-lease-id")); failed != nil {
		return 0, nil, failed
	}
	if b == nil {
		b = &blob{}
		blobs[name] = b
	}
	media := in.Get("x-ms-blob-content-type")
	if media == "" {
		media = "application/octet-stream"
	}
	s.write(b, body, media)
	describe(b, out)
	sum := md5.Sum(body)
	out.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	return http.StatusCreated, nil, nil
}

func get(b *blob, in, out http.Header) (int, []byte, *failure) {
	if failed := conditions(b, in); failed != nil {
		if in.Get("If-None-Match") != "" {
			failed.status = http.StatusNotModified
		}
		return 0, nil, failed
	}
	describe(b, out)
	b.lease.describe(out)
	out.Set("x-ms-blob-type", "BlockBlob")
	out.Set("Content-Type", b.media)
	out.Set("Content-Length", strconv.Itoa(len(b.data)))
	return http.StatusOK, b.data, nil
}

// conditions are those of the request's head.
func conditions(b *blob, in http.Header) *failure {
	match, none := in.Get("If-Match"), in.Get("If-None-Match")
	switch {
	case match != "" && (b == nil || match != "*" && match != b.etag),
		none != "" && b != nil && (none == "*" || none == b.etag):
		return &failure{http.StatusPreconditionFailed, "ConditionNotMet"}
	}
	return nil
}

func describe(b *blob, out http.Header) {
	out.Set("ETag", b.etag)
	out.Set("Last-Modified", b.modified.UTC().Format(http.TimeFormat))
}
