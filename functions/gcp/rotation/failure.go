package rotation

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// cause is why a Google API refuses a call. One status code has several: they differ by the reasons in the error document, or by the
// words of its message.
type cause struct {
	reasons []string // of google.rpc.ErrorInfo, and of the older form
	words   string   // of the message, where there is no reason
	kind    rotate.Kind
	hint    string
}

func causes() []cause {
	return []cause{
		{[]string{"SERVICE_DISABLED", "accessNotConfigured"}, "has not been used in project", rotate.Configuration,
			"enable the API in the project that the message names: gcloud services enable container.googleapis.com secretmanager.googleapis.com"},
		{[]string{"BILLING_DISABLED", "billingNotEnabled"}, "", rotate.Configuration,
			"enable billing of the project that the message names"},
		{[]string{"SECURITY_POLICY_VIOLATED", "vpcServiceControls"}, "vpcServiceControlsUniqueIdentifier", rotate.Permission,
			"let the function through the VPC Service Controls perimeter (an ingress rule for its service account); no role helps"},
		{[]string{"RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"},
			"Quota exceeded", rotate.NotReady,
			"nothing: the next call tries again; if this repeats, check the quotas of the API in the project"},
		{[]string{"CUSTOMER_MANAGED_ENCRYPTION_KEY", "KMS_KEY_DISABLED"}, "KMS", rotate.Configuration,
			"enable the Cloud KMS key of the secret, and let Secret Manager's service agent use it (roles/cloudkms.cryptoKeyEncrypterDecrypter)"},
	}
}

// failure gives an error of a Google API its kind.
func failure(what, permission string, err error) error {
	var typed *rotate.Error
	if errors.As(err, &typed) { // of the token; the text around it holds an address
		return rotate.Within(what, typed)
	}
	var api *googleapi.Error
	if !errors.As(err, &api) {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) { // its text holds the reply
			return rotate.Errorf(rotate.Permission, "%s: no access token was issued: %s", what, refused.ErrorCode).
				WithHint("check the function's service account")
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	kind, hint := rotate.Internal, ""
	switch code, known := api.Code, causeOf(api); {
	case known != nil:
		kind, hint = known.kind, known.hint
	case code == http.StatusForbidden, code == http.StatusUnauthorized:
		kind, hint = rotate.Permission, fmt.Sprintf("allow the function's service account %s", permission)
	case code == http.StatusNotFound:
		kind, hint = rotate.Configuration, "check its name in the function's configuration"
	case code == http.StatusBadRequest:
		kind, hint = rotate.Configuration, "check the function's configuration"
	case code == http.StatusTooManyRequests, code >= 500:
		kind, hint = rotate.NotReady, "nothing: the next call tries again"
	}
	failed := rotate.Errorf(kind, "%s: %s (HTTP %d)", what, api.Message, api.Code)
	failed.Hint = hint
	return failed
}

// causeOf is nil if the status code says everything. The words of an answer that asks to try later do not count.
func causeOf(api *googleapi.Error) *cause {
	if api.Code >= 500 {
		return nil
	}
	said := reasons(api)
	for _, one := range causes() {
		if slices.ContainsFunc(one.reasons, func(reason string) bool { return slices.Contains(said, reason) }) ||
			one.words != "" && strings.Contains(api.Message, one.words) {
			return &one
		}
	}
	return nil
}

// reasons are the codes that an error document has along with its message.
func reasons(api *googleapi.Error) (all []string) {
	for _, item := range api.Errors {
		all = append(all, item.Reason)
	}
	for _, detail := range api.Details {
		if fields, ok := detail.(map[string]any); ok {
			if reason, ok := fields["reason"].(string); ok {
				all = append(all, reason)
			}
		}
	}
	return all
}
