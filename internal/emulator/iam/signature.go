package iam

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// maxSkew is how far a request's clock may be from ours.
const maxSkew = 5 * time.Minute

// checkSignature checks everything about the signature but the signature, as
// package awsjson does for its services, with the errors of this one.
func (s *Server) checkSignature(r *http.Request) error {
	incomplete := func(what string) *awsjson.Error {
		return failure(http.StatusBadRequest, "IncompleteSignature", "Authorization header requires %s.", what)
	}
	mismatch := func(format string, args ...any) *awsjson.Error {
		return failure(http.StatusForbidden, "SignatureDoesNotMatch", format, args...)
	}
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return failure(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	scheme, rest, _ := strings.Cut(authorization, " ")
	if scheme != "AWS4-HMAC-SHA256" {
		return incomplete("the algorithm AWS4-HMAC-SHA256")
	}
	parameters := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parameters[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parameters[name] == "" {
			return incomplete("'" + name + "' parameter")
		}
	}
	if len(parameters["Signature"]) != 64 {
		return incomplete("a 'Signature' of 64 digits")
	}
	date := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse("20060102T150405Z", date)
	if err != nil {
		return incomplete("existence of either a 'X-Amz-Date' or a 'Date' header")
	}
	if time.Since(signed).Abs() > maxSkew {
		return mismatch("Signature expired: %s is not within %s of the present", date, maxSkew)
	}
	scope := strings.Split(parameters["Credential"], "/")
	regions := []string{globalRegion, s.options.Region}
	if len(scope) != 5 || scope[0] == "" || scope[1] != date[:8] || !slices.Contains(regions, scope[2]) || !slices.Equal(scope[3:], []string{"iam", "aws4_request"}) {
		return mismatch("Credential should be scoped to %s/%s/iam/aws4_request.", date[:8], globalRegion)
	}
	covered := strings.Split(parameters["SignedHeaders"], ";")
	must := []string{"host"}
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") {
			must = append(must, name)
		}
	}
	for _, name := range must {
		if !slices.Contains(covered, name) {
			return mismatch("header %s must be signed", name)
		}
	}
	return nil
}
