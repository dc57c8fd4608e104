// Package googleapis emulates what is asked of Google Cloud over HTTP: a deployed function, the jobs of Cloud Scheduler, a
// cluster of GKE, and a version of a secret. All of it can be read only.
//
// It answers as Google's documentation says: 401 without an access token, 403 where a permission is denied, 404 for what
// is not there, each with an error document. A request that it does not know is kept, and answered with 404.
package googleapis

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/functions/apiv2/functionspb"
	"google.golang.org/api/cloudscheduler/v1"
	"google.golang.org/api/container/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Server implements http.Handler. Its fields are set before it serves.
type Server struct {
	Token     string // that is accepted
	Functions map[string]*functionspb.Function
	Jobs      map[string][]*cloudscheduler.Job // by projects/P/locations/L
	Clusters  map[string]*container.Cluster
	Secrets   map[string]string // payloads by the names of versions
	Denied    []string          // permissions

	mu      sync.Mutex
	unknown []string
	played  []string        // quirks
	asked   map[string]bool // paths, since quirks are played
}

// Unknown are the requests that it does not know, among them all that would change something.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.Header.Get("Authorization") != "Bearer "+s.Token {
		refuse(writer, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
		return
	}
	permission, name, found := s.find(request)
	if permission != "" && (!s.delay(request) || s.quirky(writer)) {
		return
	}
	switch {
	case permission == "":
		s.mu.Lock()
		s.unknown = append(s.unknown, request.Method+" "+request.URL.Path)
		s.mu.Unlock()
		refuse(writer, http.StatusNotFound, "NOT_FOUND", "Not Found")
	case slices.Contains(s.Denied, permission):
		refuse(writer, http.StatusForbidden, "PERMISSION_DENIED",
			fmt.Sprintf("Permission '%s' denied on resource '%s' (or it may not exist).", permission, name))
	case found == nil:
		refuse(writer, http.StatusNotFound, "NOT_FOUND", fmt.Sprintf("Resource '%s' was not found", name))
	default:
		writer.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = writer.Write(found)
	}
}

// find is what a request asks for: the permission for it, its name, and its document; nil if it is not there.
func (s *Server) find(request *http.Request) (permission, name string, document []byte) {
	path := strings.Split(strings.TrimPrefix(request.URL.Path, "/"), "/")
	if request.Method != http.MethodGet || len(path) < 6 || path[1] != "projects" {
		return "", "", nil
	}
	name = strings.Join(path[1:], "/")
	switch version, kind, place := path[0], path[5], path[3]; {
	case version == "v2" && place == "locations" && kind == "functions" && len(path) == 7:
		if function := s.Functions[name]; function != nil {
			document, _ = protojson.Marshal(function)
		}
		return "cloudfunctions.functions.get", name, document
	case version == "v1" && place == "locations" && kind == "jobs" && len(path) == 6:
		parent := strings.TrimSuffix(name, "/jobs")
		return "cloudscheduler.jobs.list", parent, marshal(cloudscheduler.ListJobsResponse{Jobs: s.Jobs[parent]})
	case version == "v1" && place == "locations" && kind == "clusters" && len(path) == 7:
		if cluster := s.Clusters[name]; cluster != nil {
			document = marshal(cluster)
		}
		return "container.clusters.get", name, document
	case version == "v1" && place == "secrets" && kind == "versions" && len(path) == 7 && strings.HasSuffix(name, ":access"):
		name = strings.TrimSuffix(name, ":access")
		if secret, ok := s.Secrets[name]; ok {
			sum := crc32.Checksum([]byte(secret), crc32.MakeTable(crc32.Castagnoli))
			document = marshal(map[string]any{"name": name, "payload": map[string]string{
				"data": base64.StdEncoding.EncodeToString([]byte(secret)), "dataCrc32c": strconv.FormatUint(uint64(sum), 10),
			}})
		}
		return "secretmanager.versions.access", name, document
	}
	return "", "", nil
}

func marshal(value any) []byte {
	document, err := json.Marshal(value)
	if err != nil {
		panic(err) // they are Google's own types
	}
	return document
}

func refuse(writer http.ResponseWriter, code int, status, message string) {
	writer.Header().Set("Content-Type", "application/json; charset=UTF-8")
	writer.WriteHeader(code)
	_, _ = writer.Write(marshal(map[string]any{"error": map[string]any{"code": code, "message": message, "status": status}}))
}
