package iam

import (
	"net/http"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// checkSignature is that of package awsjson, with the codes and statuses of this service.
func (s *Server) checkSignature(r *http.Request) error {
	refused := awsjson.CheckSignature(r, "iam", globalRegion, s.options.Region)
	if refused == nil {
		return nil
	}
	code, status := strings.TrimSuffix(refused.Code, "Exception"), http.StatusForbidden
	switch code {
	case "IncompleteSignature":
		status = http.StatusBadRequest
	case "InvalidSignature":
		code = "SignatureDoesNotMatch"
	}
	return &awsjson.Error{Code: code, Message: refused.Message, Status: status}
}
