package googleapis

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
)

const (
	undocumented = "not documented"
	pageErrors   = "Google Cloud APIs documentation, errors (google.rpc.ErrorInfo)"
)

// Quirks are the ways in which Google's APIs may behave that [Server.Play] knows.
func Quirks() []quirk.Quirk {
	return []quirk.Quirk{
		{Name: "google-slow-answers", Behaviour: "each answer takes 25 s", Source: undocumented, Refused: "no answer within 10s, 2 times"},
		{Name: "google-slow-once", Behaviour: "the first answer for each resource takes 25 s", Source: undocumented},
		{Name: "google-hangs-once", Behaviour: "the first read of each resource is never answered", Source: undocumented},
		{Name: "google-throttled", Behaviour: "each read is refused with 429, and an hour to wait",
			Source: "Google Kubernetes Engine documentation, quotas", Refused: "(HTTP 429)"},
		{Name: "google-quota-403", Behaviour: "a quota that is used up is a 403 with the reason rateLimitExceeded",
			Source:  "Compute Engine documentation, API rate limits",
			Refused: "check the quotas of the API"},
		{Name: "google-api-disabled", Behaviour: "an API that is not enabled is a 403 with the reason SERVICE_DISABLED",
			Source: pageErrors, Refused: "gcloud services enable"},
		{Name: "google-billing-disabled", Behaviour: "a project without billing is a 403 with the reason BILLING_DISABLED",
			Source: pageErrors, Refused: "enable billing"},
		{Name: "google-perimeter", Behaviour: "a VPC Service Controls perimeter is a 403 with the reason SECURITY_POLICY_VIOLATED",
			Source:  pageErrors,
			Refused: "VPC Service Controls perimeter"},
	}
}

// Play has the server behave as the quirks of these names say, from now on.
func (s *Server) Play(names ...string) error {
	if err := quirk.Known(Quirks(), names); err != nil {
		return fmt.Errorf("googleapis: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.played, s.asked = append(s.played, names...), map[string]bool{}
	return nil
}

// plays reports whether a quirk is played.
func (s *Server) plays(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.played, name)
}

// first reports whether a resource is asked for the first time since quirks are played.
func (s *Server) first(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.asked[path]
	if s.asked != nil {
		s.asked[path] = true
	}
	return !before
}

// delay waits as the quirks say, and reports whether the caller still waits.
func (s *Server) delay(request *http.Request) bool {
	first := s.first(request.URL.Path)
	if s.plays("google-hangs-once") && first {
		<-request.Context().Done()
		return false
	}
	if !s.plays("google-slow-answers") && !(s.plays("google-slow-once") && first) {
		return true
	}
	timer := time.NewTimer(25 * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-request.Context().Done():
		return false
	}
}

// quirky refuses a request as the quirks say, and reports whether it has.
func (s *Server) quirky(writer http.ResponseWriter) bool {
	switch {
	case s.plays("google-throttled"):
		writer.Header().Set("Retry-After", "3600")
		refuse(writer, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED",
			"Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute'.")
	case s.plays("google-quota-403"):
		refuseAs(writer, "PERMISSION_DENIED", "Rate Limit Exceeded", "rateLimitExceeded", "RATE_LIMIT_EXCEEDED")
	case s.plays("google-api-disabled"):
		refuseAs(writer, "PERMISSION_DENIED", "The API has not been used in project 12345 before or it is disabled.",
			"accessNotConfigured", "SERVICE_DISABLED")
	case s.plays("google-billing-disabled"):
		refuseAs(writer, "PERMISSION_DENIED", "This API method requires billing to be enabled.", "forbidden", "BILLING_DISABLED")
	case s.plays("google-perimeter"):
		refuseAs(writer, "PERMISSION_DENIED", "Request is prohibited by organization's policy.", "forbidden", "SECURITY_POLICY_VIOLATED")
	default:
		return false
	}
	return true
}

// refuseAs is a 403 that gives a reason, in the older form and in the newer one.
func refuseAs(writer http.ResponseWriter, status, message, older, newer string) {
	writer.Header().Set("Content-Type", "application/json; charset=UTF-8")
	writer.WriteHeader(http.StatusForbidden)
	_, _ = writer.Write(marshal(map[string]any{"error": map[string]any{
		"code": http.StatusForbidden, "message": message, "status": status,
		"errors":  []map[string]string{{"message": message, "domain": "global", "reason": older}},
		"details": []map[string]string{{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": newer, "domain": "googleapis.com"}},
	}}))
}
