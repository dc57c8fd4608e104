package rotation

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/api/googleapi"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// TestOneCodeSeveralCauses: the hint follows from the cause, not from the code.
func TestOneCodeSeveralCauses(t *testing.T) {
	reason := func(reason string) []any {
		return []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}}
	}
	for name, test := range map[string]struct {
		err  googleapi.Error
		kind rotate.Kind
		hint string
	}{
		"a right": {googleapi.Error{Code: http.StatusForbidden, Message: "Required permission",
			Details: reason("IAM_PERMISSION_DENIED")}, rotate.Permission, "allow the function's service account " + AccessSecret},
		"an API, by its reason": {googleapi.Error{Code: http.StatusForbidden, Details: reason("SERVICE_DISABLED")},
			rotate.Configuration, "gcloud services enable"},
		"an API, in the old form": {googleapi.Error{Code: http.StatusForbidden,
			Errors: []googleapi.ErrorItem{{Reason: "accessNotConfigured"}}}, rotate.Configuration, "gcloud services enable"},
		"an API, by its words": {googleapi.Error{Code: http.StatusForbidden,
			Message: "Secret Manager API has not been used in project 1 before or it is disabled."}, rotate.Configuration, "gcloud services enable"},
		"billing": {googleapi.Error{Code: http.StatusForbidden, Details: reason("BILLING_DISABLED")},
			rotate.Configuration, "enable billing"},
		"a perimeter": {googleapi.Error{Code: http.StatusForbidden,
			Message: "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x"}, rotate.Permission,
			"VPC Service Controls perimeter"},
		"a quota that is a 403": {googleapi.Error{Code: http.StatusForbidden,
			Errors: []googleapi.ErrorItem{{Reason: "quotaExceeded"}}}, rotate.NotReady, "the quotas of the API"},
		"a quota": {googleapi.Error{Code: http.StatusTooManyRequests, Details: reason("RATE_LIMIT_EXCEEDED")},
			rotate.NotReady, "the quotas of the API"},
		"a key": {googleapi.Error{Code: http.StatusBadRequest, Message: "The KMS key is disabled."},
			rotate.Configuration, "enable the Cloud KMS key"},
		"a key, by its right": {googleapi.Error{Code: http.StatusForbidden,
			Message: "The service agent may not use the Cloud KMS key."}, rotate.Configuration, "cryptoKeyEncrypterDecrypter"},
		"a name": {googleapi.Error{Code: http.StatusNotFound}, rotate.Configuration, "check its name"},
		"a state": {googleapi.Error{Code: http.StatusBadRequest, Message: "Secret Version is in DESTROYED state."},
			rotate.Configuration, "check the function's configuration"},
		"nothing to be done": {googleapi.Error{Code: http.StatusServiceUnavailable, Message: "KMS is away"}, rotate.NotReady,
			"the next call tries again"},
	} {
		t.Run(name, func(t *testing.T) {
			typed := rotate.AsError(failure("read", AccessSecret, &test.err), rotate.NotObserved)
			if typed.Kind != test.kind || !strings.Contains(typed.Hint, test.hint) ||
				!strings.Contains(typed.What, test.err.Message) {
				t.Errorf("got %v", typed)
			}
		})
	}
}

// elsewhere is a runner whose release names a region of AWS.
type elsewhere struct{}

func (elsewhere) AgentID() string { return agentID }
func (elsewhere) Region() string  { return "eu-west-1" }

// TestARegionThatIsNoneOfMaias: the vendor's own examples have one of AWS.
func TestARegionThatIsNoneOfMaias(t *testing.T) {
	_, err := New(functiontest.Environ(valid()), io.Discard).rotators.Of(elsewhere{}, nil, slog.New(slog.DiscardHandler))
	for _, words := range []string{`"eu-west-1"`, "MATILLION_REGION", "dpcAgent.dpcAgent.env.matillionRegion", "MAIA_API_URL"} {
		if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), words) {
			t.Errorf("%q is missing in %v", words, err)
		}
	}
}
