package lambdaapi

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
// package awsjson does for its services.
func checkSignature(r *http.Request, region string) *awsjson.Error {
	refuse := func(code, format string, args ...any) *awsjson.Error {
		return failure(http.StatusForbidden, code, format, args...)
	}
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	scheme, rest, _ := strings.Cut(authorization, " ")
	if scheme != "AWS4-HMAC-SHA256" {
		return refuse("IncompleteSignatureException", "Authorization header requires the algorithm AWS4-HMAC-SHA256.")
	}
	parameters := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parameters[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parameters[name] == "" {
			return refuse("IncompleteSignatureException", "Authorization header requires '%s' parameter.", name)
		}
	}
	if len(parameters["Signature"]) != 64 {
		return refuse("IncompleteSignatureException", "Authorization header requires a 'Signature' of 64 digits.")
	}
	date := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse("20060102T150405Z", date)
	if err != nil {
		return refuse("IncompleteSignatureException", "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if time.Since(signed).Abs() > maxSkew {
		return refuse("InvalidSignatureException", "Signature expired: %s is not within %s of the present", date, maxSkew)
	}
	scope := strings.Split(parameters["Credential"], "/")
	want := []string{date[:8], region, "lambda", "aws4_request"}
	if len(scope) != 5 || scope[0] == "" || !slices.Equal(scope[1:], want) {
		return refuse("InvalidSignatureException", "Credential should be scoped to %s.", strings.Join(want, "/"))
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
			return refuse("InvalidSignatureException", "header %s must be signed", name)
		}
	}
	return nil
}
