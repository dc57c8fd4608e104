// Package blobs emulates blobs of Azure Storage over HTTP, as far as small documents with leases need it: containers that
// are made, block blobs that are put and got, and their leases. It is strict where Microsoft's documentation is: conditions,
// lease IDs, durations, error codes.
package blobs

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server implements http.Handler: one storage account.
type Server struct {
	Token string // that is accepted

	mu         sync.Mutex
	etags      int
	containers map[string]map[string]*blob
	denied     map[string]bool // methods
}

type blob struct {
	data     []byte
	etag     string
	modified time.Time
	lease    lease
}

// lease is active until its end.
type lease struct {
	id       string
	duration time.Duration
	end      time.Time
	etag     string // of the blob when it was taken or renewed
}

func (l lease) active() bool { return l.id != "" && time.Now().Before(l.end) }

// New is an account without containers.
func New(token string) *Server {
	return &Server{Token: token, containers: map[string]map[string]*blob{}, denied: map[string]bool{}}
}

// Deny has a kind of request refused with 403: "create container", "put", "get", "acquire", "renew" or "release".
func (s *Server) Deny(operation string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[operation] = denied
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

// Break ends the lease of a blob, as somebody may.
func (s *Server) Break(container, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.containers[container][name]; b != nil {
		b.lease = lease{}
	}
}

// failure is an error of the service.
type failure struct {
	status int
	code   string
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	header := writer.Header()
	header.Set("x-ms-version", request.Header.Get("x-ms-version"))
	status, answer, failed := s.serve(request, body, header)
	if failed != nil {
		header.Set("x-ms-error-code", failed.code)
		header.Set("Content-Type", "application/xml")
		writer.WriteHeader(failed.status)
		if request.Method != http.MethodHead {
			fmt.Fprintf(writer, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%[1]s</Message></Error>", failed.code)
		}
		return
	}
	writer.WriteHeader(status)
	if request.Method != http.MethodHead {
		_, _ = writer.Write(answer)
	}
}

func (s *Server) serve(request *http.Request, body []byte, header http.Header) (status int, answer []byte, failed *failure) {
	if request.Header.Get("Authorization") != "Bearer "+s.Token {
		return 0, nil, &failure{http.StatusUnauthorized, "InvalidAuthenticationInfo"}
	}
	if request.Header.Get("x-ms-version") == "" {
		return 0, nil, &failure{http.StatusBadRequest, "MissingRequiredHeader"}
	}
	container, name, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
	query := request.URL.Query()
	blobs, exists := s.containers[container]
	switch {
	case request.Method == http.MethodPut && query.Get("restype") == "container" && name == "":
		return s.createContainer(container, exists)
	case !exists:
		return 0, nil, &failure{http.StatusNotFound, "ContainerNotFound"}
	case name == "":
		return 0, nil, &failure{http.StatusBadRequest, "UnsupportedQueryParameter"}
	case request.Method == http.MethodPut && query.Get("comp") == "lease":
		return s.leaseBlob(blobs[name], request.Header, header)
	case request.Method == http.MethodPut && query.Get("comp") == "":
		return s.put(blobs, name, body, request.Header, header)
	case request.Method == http.MethodGet && query.Get("comp") == "", request.Method == http.MethodHead:
		return s.get(blobs[name], header)
	}
	return 0, nil, &failure{http.StatusMethodNotAllowed, "UnsupportedHttpVerb"}
}

var forbidden = &failure{http.StatusForbidden, "AuthorizationPermissionMismatch"}

func (s *Server) createContainer(name string, exists bool) (int, []byte, *failure) {
	switch {
	case s.denied["create container"]:
		return 0, nil, forbidden
	case exists:
		return 0, nil, &failure{http.StatusConflict, "ContainerAlreadyExists"}
	}
	s.containers[name] = map[string]*blob{}
	return http.StatusCreated, nil, nil
}

func (s *Server) put(blobs map[string]*blob, name string, body []byte, in, out http.Header) (int, []byte, *failure) {
	if s.denied["put"] {
		return 0, nil, forbidden
	}
	if in.Get("x-ms-blob-type") != "BlockBlob" {
		return 0, nil, &failure{http.StatusBadRequest, "InvalidHeaderValue"}
	}
	b := blobs[name]
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
	s.etags++
	b.data, b.etag, b.modified = body, fmt.Sprintf(`"0x8D%013X"`, s.etags), time.Now()
	describe(b, out)
	sum := md5.Sum(body)
	out.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	return http.StatusCreated, nil, nil
}

// conditions are those of the request's head.
func conditions(b *blob, in http.Header) *failure {
	match, none := in.Get("If-Match"), in.Get("If-None-Match")
	switch {
	case none == "*" && b != nil:
		return &failure{http.StatusConflict, "BlobAlreadyExists"}
	case match != "" && (b == nil || match != "*" && match != b.etag):
		return &failure{http.StatusPreconditionFailed, "ConditionNotMet"}
	}
	return nil
}

// checkLease says whether a blob may be written with a lease ID.
func checkLease(b *blob, id string) *failure {
	switch {
	case b == nil && id != "":
		return &failure{http.StatusPreconditionFailed, "LeaseNotPresentWithBlobOperation"}
	case b == nil:
		return nil
	case b.lease.active() && id == "":
		return &failure{http.StatusPreconditionFailed, "LeaseIdMissing"}
	case b.lease.active() && id != b.lease.id:
		return &failure{http.StatusPreconditionFailed, "LeaseIdMismatchWithBlobOperation"}
	case !b.lease.active() && id != "" && id == b.lease.id:
		return &failure{http.StatusPreconditionFailed, "LeaseLost"}
	case !b.lease.active() && id != "":
		return &failure{http.StatusPreconditionFailed, "LeaseNotPresentWithBlobOperation"}
	}
	return nil
}

func (s *Server) get(b *blob, out http.Header) (int, []byte, *failure) {
	switch {
	case s.denied["get"]:
		return 0, nil, forbidden
	case b == nil:
		return 0, nil, &failure{http.StatusNotFound, "BlobNotFound"}
	}
	describe(b, out)
	state, status := "available", "unlocked"
	if b.lease.active() {
		state, status = "leased", "locked"
		out.Set("x-ms-lease-duration", "fixed")
	} else if b.lease.id != "" {
		state = "expired"
	}
	out.Set("x-ms-lease-state", state)
	out.Set("x-ms-lease-status", status)
	out.Set("x-ms-blob-type", "BlockBlob")
	out.Set("Content-Type", "application/json")
	out.Set("Content-Length", strconv.Itoa(len(b.data)))
	return http.StatusOK, b.data, nil
}

func describe(b *blob, out http.Header) {
	out.Set("ETag", b.etag)
	out.Set("Last-Modified", b.modified.UTC().Format(http.TimeFormat))
}

func (s *Server) leaseBlob(b *blob, in, out http.Header) (int, []byte, *failure) {
	action := in.Get("x-ms-lease-action")
	switch {
	case s.denied[action]:
		return 0, nil, forbidden
	case b == nil:
		return 0, nil, &failure{http.StatusNotFound, "BlobNotFound"}
	}
	if failed := conditions(b, in); failed != nil {
		return 0, nil, failed
	}
	id := in.Get("x-ms-lease-id")
	describe(b, out)
	switch action {
	case "acquire":
		seconds, err := strconv.Atoi(in.Get("x-ms-lease-duration"))
		proposed := in.Get("x-ms-proposed-lease-id")
		switch {
		case err != nil || seconds < 15 || seconds > 60:
			return 0, nil, &failure{http.StatusBadRequest, "InvalidHeaderValue"}
		case b.lease.active() && b.lease.id != proposed:
			return 0, nil, &failure{http.StatusConflict, "LeaseAlreadyPresent"}
		}
		b.lease = lease{id: proposed, duration: time.Duration(seconds) * time.Second, etag: b.etag}
		b.lease.end = time.Now().Add(b.lease.duration)
		out.Set("x-ms-lease-id", proposed)
		return http.StatusCreated, nil, nil
	case "renew":
		switch {
		case b.lease.id != id || id == "":
			return 0, nil, &failure{http.StatusConflict, "LeaseIdMismatchWithLeaseOperation"}
		case !b.lease.active() && b.lease.etag != b.etag:
			return 0, nil, &failure{http.StatusConflict, "LeaseIsBrokenAndCannotBeRenewed"}
		}
		b.lease.end, b.lease.etag = time.Now().Add(b.lease.duration), b.etag
		out.Set("x-ms-lease-id", id)
		return http.StatusOK, nil, nil
	case "release":
		if b.lease.id != id || id == "" {
			return 0, nil, &failure{http.StatusConflict, "LeaseIdMismatchWithLeaseOperation"}
		}
		b.lease = lease{}
		return http.StatusOK, nil, nil
	}
	return 0, nil, &failure{http.StatusBadRequest, "InvalidHeaderValue"}
}
