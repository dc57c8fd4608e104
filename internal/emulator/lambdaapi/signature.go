package lambdaapi

import (
	"net/http"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// checkSignature is the check of package awsjson, with the status of this service.
func checkSignature(r *http.Request, region string) *awsjson.Error {
	refused := awsjson.CheckSignature(r, "lambda", region)
	if refused != nil {
		refused.Status = http.StatusForbidden
	}
	return refused
}
