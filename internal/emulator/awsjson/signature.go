package awsjson

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxSkew is how far a request's clock may be from ours.
const maxSkew = 5 * time.Minute

// CheckSignature checks everything about the signature but the signature: what it is made for (date, region, service), what it
// covers, and its age. Its errors have the codes of the services that speak this protocol.
func CheckSignature(r *http.Request, service string, regions ...string) *Error {
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return Errorf("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	incomplete := func(what string) *Error {
		return Errorf("IncompleteSignatureException", "Authorization header requires %s.", what)
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
			return incomplete(fmt.Sprintf("'%s' parameter", name))
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
	if age := time.Since(signed).Abs(); age > maxSkew {
		return Errorf("InvalidSignatureException", "Signature expired: %s is not within %s of the present", date, maxSkew)
	}
	scope := strings.Split(parameters["Credential"], "/")
	if len(scope) != 5 || scope[0] == "" || scope[1] != date[:8] || !slices.Contains(regions, scope[2]) ||
		!slices.Equal(scope[3:], []string{service, "aws4_request"}) {
		return Errorf("InvalidSignatureException", "Credential should be scoped to %s/%s/%s/aws4_request.", date[:8], regions[0], service)
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
			return Errorf("InvalidSignatureException", "header %s must be signed", name)
		}
	}
	return nil
}
